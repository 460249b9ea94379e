"""Laws with a normal logit of t: one mathematics, three published settings."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from precond_gm.objectives.time_laws.base import FixedTimeLaw
from precond_gm.options import check_finite, check_positive

__all__ = ["EDM", "JiT", "LogitNormal"]


@dataclass(frozen=True)
class _NormalLogit(FixedTimeLaw):
    """Law of ``sigmoid(N(centre, spread^2))``; vanishes at both ends faster than any power."""

    @property
    @abc.abstractmethod
    def centre(self) -> float:
        """Mean of the logit."""

    @property
    @abc.abstractmethod
    def spread(self) -> float:
        """Standard deviation of the logit."""

    def quantile(self, u: Tensor) -> Tensor:
        """Return the sigmoid of a normal quantile."""
        return torch.sigmoid(self.centre + self.spread * torch.special.ndtri(u))

    def cdf(self, t: Tensor) -> Tensor:
        """Return the normal distribution function of the standardised logit."""
        return torch.special.ndtr((torch.logit(t) - self.centre) / self.spread)

    def log_density(self, t: Tensor) -> Tensor:
        """Return the normal log-density of the logit, with its Jacobian."""
        z = (torch.logit(t) - self.centre) / self.spread
        jacobian = t.log() + (-t).log1p()
        return -z.square() / 2 - math.log(self.spread * math.sqrt(2 * math.pi)) - jacobian


@final
@dataclass(frozen=True)
class LogitNormal(_NormalLogit):
    r"""Times ``sigmoid(N(mean, std^2))``.

    Args:
        mean: Mean of the logit. In this package t = 1 is data, so it is minus the mean of
            2403.03206; their shift by a is ``mean = -log a``.
        std: Standard deviation of the logit, positive.

    References:
        arXiv:2403.03206, eq. 19.
    """

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite(self, "mean")
        check_positive(self, "std", hint="It is the deviation of the logit of t.")

    @property
    def centre(self) -> float:
        """Mean of the logit."""
        return self.mean

    @property
    def spread(self) -> float:
        """Standard deviation of the logit."""
        return self.std


@final
@dataclass(frozen=True)
class EDM(_NormalLogit):
    r"""Log-normal noise level ``ln s ~ N(-1.2, 1.2^2)``, with ``s = (1 - t) / t``.

    That is ``logit t ~ N(1.2, 1.2^2)`` for data of deviation 0.5; noise is measured against the
    data, so another deviation moves the centre.

    Args:
        data_std: Deviation of the data, positive.

    References:
        arXiv:2206.00364, table 1.
    """

    data_std: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "data_std")

    @property
    def centre(self) -> float:
        """Mean of the logit."""
        return 1.2 - math.log(self.data_std / 0.5)

    @property
    def spread(self) -> float:
        """Standard deviation of the logit."""
        return 1.2


@final
@dataclass(frozen=True)
class JiT(_NormalLogit):
    """Times ``sigmoid(N(-0.8, 0.8^2))``, published with x1-prediction and a clamped velocity loss.

    References:
        arXiv:2511.13720.
    """

    @property
    def centre(self) -> float:
        """Mean of the logit."""
        return -0.8

    @property
    def spread(self) -> float:
        """Standard deviation of the logit."""
        return 0.8
