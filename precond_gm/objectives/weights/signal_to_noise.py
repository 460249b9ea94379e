r"""Weights in terms of the signal-to-noise ratio ``SNR = beta^2 / (alpha^2 + gamma^2)``.

They are published for the denoiser, so they belong to an x1-loss: on it, ``SNR`` is the loss of
noise prediction. The source is taken to be N(0, I) and independent of the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from precond_gm.objectives.weights.base import AbstractWeight
from precond_gm.options import check_finite, check_positive
from precond_gm.values import Coefficients

__all__ = ["EDM", "SNR", "MinSNR"]


def signal_to_noise(c: Coefficients) -> Tensor:
    """Return the ratio at the times of ``c``; infinite where no noise is left."""
    return c.beta.square() / (c.alpha.square() + c.variance)


@final
@dataclass(frozen=True)
class SNR(AbstractWeight):
    """Signal-to-noise ratio to a power: unbounded at t = 1.

    Args:
        power: Exponent; 1 on an x1-loss is noise prediction.
    """

    power: float = 1.0

    def __post_init__(self) -> None:
        check_finite(self, "power")

    def __call__(self, t: Tensor, coefficients: Coefficients) -> Tensor:
        """Return ``SNR ** power``."""
        return signal_to_noise(coefficients).pow(self.power)


@final
@dataclass(frozen=True)
class MinSNR(AbstractWeight):
    """``min(SNR, gamma)``: noise prediction's emphasis, cut where hardly any noise is left.

    Args:
        gamma: Largest weight, positive.

    References:
        arXiv:2303.09556 (gamma = 5).
    """

    gamma: float = 5.0

    def __post_init__(self) -> None:
        check_positive(self, "gamma", hint="5 is published.")

    def __call__(self, t: Tensor, coefficients: Coefficients) -> Tensor:
        """Return ``min(SNR, gamma)``."""
        return signal_to_noise(coefficients).clamp(max=self.gamma)


@final
@dataclass(frozen=True)
class EDM(AbstractWeight):
    r"""``(s^2 + d^2) / (s d)^2 = SNR + 1 / d^2`` with ``s^2 = 1 / SNR``, unbounded at t = 1.

    Args:
        data_std: Deviation d of the data, positive.

    References:
        arXiv:2206.00364, table 1 (d = 0.5 for images in [-1, 1]).
    """

    data_std: float = 0.5

    def __post_init__(self) -> None:
        check_positive(self, "data_std", hint="0.5 is that of images in [-1, 1].")

    def __call__(self, t: Tensor, coefficients: Coefficients) -> Tensor:
        """Return the weight at the times of the coefficients."""
        return signal_to_noise(coefficients) + self.data_std**-2
