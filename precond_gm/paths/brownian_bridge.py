"""The Brownian bridge: diffusion flow matching."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from precond_gm.options import check_positive
from precond_gm.paths.base import AbstractPath
from precond_gm.values import Coefficients, TargetKind

__all__ = ["BrownianBridge"]


@final
@dataclass(frozen=True)
class BrownianBridge(AbstractPath):
    r"""Brownian bridge from ``z0`` to ``z1``: the path of diffusion flow matching.

    .. math::
        z_t = (1 - t) z_0 + t z_1 + \sigma \sqrt{t (1 - t)} \varepsilon,
        \qquad b_t = (z_1 - z_t) / (1 - t)

    The target is an SDE *drift*, not an ODE velocity. Its variance grows like
    ``sigma**2 * t / (1 - t)``: predict ``z1`` (bounded weight), or stop at ``t_max``.

    Args:
        sigma: Diffusion scale, positive. The default sqrt(2) is the one of 2409.08311.
        t_max: Largest time drawn in training and reached by solvers when the drift is
            predicted, in (0, 1]; x1-prediction uses all of [0, 1].

    Raises:
        InvalidInputError: sigma is not positive, or t_max is not in (0, 1].

    References:
        2409.08311, sections 2 and 3.

    Example:
        >>> import torch
        >>> float(BrownianBridge(sigma=1.0).coefficients(torch.tensor([0.5])).variance)
        0.25
    """

    kind: ClassVar[TargetKind] = TargetKind.DRIFT
    default_prediction: ClassVar[TargetKind] = TargetKind.X1
    sigma: float = math.sqrt(2)
    t_max: float = 0.999

    def __post_init__(self) -> None:
        check_positive(self, "sigma", hint="Use the path 'linear' for a bridge without noise.")
        check_positive(self, "t_max", largest=1)

    @property
    def diffusion(self) -> float:
        """Scale sigma of the SDE ``dz = b dt + sigma dB``."""
        return self.sigma

    @property
    def formulas(self) -> dict[str, str]:
        """The three schedules with their slopes."""
        square = f"{self.sigma**2:.6g}"
        return {
            "alpha": "1-t",
            "alpha'": "-1",
            "beta": "t",
            "beta'": "1",
            "gamma^2": f"{square} t (1-t)",
            "(gamma^2)'": f"{square} (1-2 t)",
        }

    def coefficients(self, t: Tensor) -> Coefficients:
        """Return the coefficients of the bridge; the variance is exactly 0 at both ends."""
        ones, rest, square = torch.ones_like(t), 1 - t, self.sigma**2
        return Coefficients(
            alpha=rest,
            alpha_slope=-ones,
            beta=t,
            beta_slope=ones,
            variance=square * t * rest,
            variance_slope=square * (1 - 2 * t),
            diffusion=self.sigma,
            # (variance_slope - sigma^2) / (2 variance) with t cancelled: finite at t = 0.
            drift_rate=-1 / rest,
            has_noise=True,
        )
