"""Stochastic interpolants: any alpha, beta and gamma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.schedules import Schedule, sine_from_zero, value_and_slope
from precond_gm.paths.base import AbstractPath
from precond_gm.values import Coefficients, TargetKind

__all__ = ["VARIANCES", "Interpolant", "falling", "rising"]


def falling(t: Tensor) -> Tensor:
    """Return ``1 - t``."""
    return 1 - t


def rising(t: Tensor) -> Tensor:
    """Return ``t``."""
    return t * 1  # a new tensor: forward-mode derivatives do not accept the input itself


def _sine(t: Tensor) -> Tensor:
    return sine_from_zero(t) ** 4


def _brownian(t: Tensor) -> Tensor:
    return 2 * t * (1 - t)


def _quadratic(t: Tensor) -> Tensor:
    return (t * (1 - t)).square()


VARIANCES: dict[str, Schedule] = {
    "sine": _sine,
    "brownian": _brownian,
    "quadratic": _quadratic,
}
"""``gamma**2`` by name: ``sin(pi t)^4``, ``2 t (1 - t)``, ``(t (1 - t))^2``."""


@final
@dataclass(frozen=True)
class Interpolant(AbstractPath):
    r"""Stochastic interpolant: noise of its own between the ends, and an ODE velocity.

    .. math::
        z_t = \alpha_t z_0 + \beta_t z_1 + \gamma_t \varepsilon,
        \qquad v_t = \alpha'_t z_0 + \beta'_t z_1 + \gamma'_t \varepsilon

    Unless the source is a standard normal that is independent of the data, the score needs a
    second head that predicts the noise: velocity and noise do not follow from each other.
    Where gamma grows like a square root (``"brownian"``), the velocity grows without bound at both
    ends. Antithetic pairs of noise, ``+eps`` and ``-eps`` for the same ends and time, cancel the
    leading part of that variance in the gradient, at twice the rows.

    Args:
        alpha: Weight of the source end, from 1 to 0.
        beta: Weight of the data end, from 0 to 1.
        variance: ``gamma**2``, 0 at both ends: a name in ``VARIANCES`` or a function of times. It
            is the square because its slope stays finite where that of gamma does not.
        antithetic: Whether ``sample`` gives two rows for each pair, with opposite noise.

    Raises:
        InvalidInputError: An unknown name, or a function with other values at the ends.

    References:
        2303.08797, definition 1 and section 6.1 (antithetic sampling).

    Example:
        >>> float(Interpolant(variance="brownian").coefficients(torch.tensor([0.5])).variance)
        0.5
    """

    kind: ClassVar[TargetKind] = TargetKind.VELOCITY
    default_prediction: ClassVar[TargetKind] = TargetKind.VELOCITY
    alpha: Schedule = falling
    beta: Schedule = rising
    variance: str | Schedule = "sine"
    antithetic: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.variance, str) and self.variance not in VARIANCES:
            raise InvalidInputError(
                f"Interpolant: variance is one of {', '.join(VARIANCES)} or a function; "
                f"got {self.variance!r}."
            )
        c = self.coefficients(torch.tensor([0.0, 1.0], dtype=torch.float64))
        for name, want in (("alpha", [1, 0]), ("beta", [0, 1]), ("variance", [0, 0])):
            got = getattr(c, name).tolist()
            if got != want:
                raise InvalidInputError(
                    f"Interpolant: {name} is {want[0]} at t = 0 and {want[1]} at t = 1; got "
                    f"{got[0]:.6g} and {got[1]:.6g}. Shift and scale it."
                )

    @property
    def has_noise(self) -> bool:
        """True: gamma is not identically zero."""
        return True

    def coefficients(self, t: Tensor) -> Coefficients:
        """Return the three schedules with their slopes."""
        variance = VARIANCES[self.variance] if isinstance(self.variance, str) else self.variance
        return Coefficients(
            *value_and_slope(self.alpha, t),
            *value_and_slope(self.beta, t),
            *value_and_slope(variance, t),
            has_noise=True,
        )
