"""Variance-preserving paths: the noise schedules of diffusion models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.schedules import Schedule, value_and_slope
from precond_gm.options import check_positive
from precond_gm.paths.base import AbstractPath
from precond_gm.paths.schedules import SIGNAL, check_inside
from precond_gm.values import Coefficients, TargetKind

__all__ = ["VariancePreserving"]


@final
@dataclass(frozen=True)
class VariancePreserving(AbstractPath):
    r"""Path with ``alpha**2 + beta**2 = 1`` under any noise schedule.

    .. math::
        z_t = \sqrt{1 - \beta_t^2} z_0 + \beta_t z_1

    The default is the linear noise rate of DDPM, ``beta_t = exp(-s^2 (r_1 - r_0)/4 - s r_0/2)`` at
    ``s = 1 - t``, shifted and scaled to be exactly 0 at t = 0: unscaled, some data would be left in
    what sampling takes for pure noise. Near t = 1 the velocity grows like ``(1 - t)**(-1/2)``:
    predict ``z1``, which is bounded, or stop at ``t_max``.

    Args:
        rate_min: Noise rate r_0 at the data end, positive.
        rate_max: Noise rate r_1 at the noise end, above rate_min.
        signal: Your own ``beta_t``, a function of times in [0, 1], from 0 at t = 0 to 1 at t = 1;
            the two rates are then unused. It is given to ``load`` again: no checkpoint keeps it.
        t_max: Largest time drawn in training and reached by solvers when the velocity is
            predicted, in (0, 1].

    Raises:
        InvalidInputError: Rates or t_max out of range, a signal that does not go from 0 to 1,
            leaves [0, 1], or reaches 1 before t = 1.

    References:
        2011.13456, eq. 33 (the rate); 2305.08891, section 3.1 (zero signal at the noise end).

    Example:
        >>> path = VariancePreserving(signal=lambda t: t**2)
        >>> float(path.coefficients(torch.tensor([0.5])).beta)
        0.25
    """

    kind: ClassVar[TargetKind] = TargetKind.VELOCITY
    default_prediction: ClassVar[TargetKind] = TargetKind.X1
    rate_min: float = 0.1
    rate_max: float = 20.0
    signal: Schedule | None = None
    t_max: float = 0.999

    def __post_init__(self) -> None:
        if not 0 < self.rate_min < self.rate_max:
            raise InvalidInputError(
                f"VariancePreserving: rates satisfy 0 < rate_min < rate_max; got "
                f"{self.rate_min} and {self.rate_max}."
            )
        check_positive(self, "t_max", largest=1)
        if self.signal is not None:
            SIGNAL.check("VariancePreserving: signal", self.signal)
            check_inside(self)

    def coefficients(self, t: Tensor) -> Coefficients:
        """Return the coefficients, in float64 first: near t = 1, ``1 - beta**2`` cancels."""
        fine = t.to(torch.float64)
        if self.signal is None:
            beta, slope = value_and_slope(self._ddpm, fine)
        else:
            beta, slope = SIGNAL.at(self.signal, fine)
        alpha = ((1 - beta) * (1 + beta)).sqrt()
        alpha_slope = -beta * slope / alpha
        zeros, dtype = torch.zeros_like(t), t.dtype
        return Coefficients(
            alpha.to(dtype), alpha_slope.to(dtype), beta.to(dtype), slope.to(dtype), zeros, zeros
        )

    def _ddpm(self, t: Tensor) -> Tensor:
        """Return DDPM's signal, shifted and scaled to go from exactly 0 to exactly 1."""
        return torch.expm1(self._removed(t)) / torch.expm1(self._removed(torch.ones_like(t)))

    def _removed(self, t: Tensor) -> Tensor:
        """Return the logarithm of DDPM's signal at t over that at 0."""
        return t * ((2 - t) * (self.rate_max - self.rate_min) / 4 + self.rate_min / 2)
