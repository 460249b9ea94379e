"""Stochastic interpolants: any alpha, beta and gamma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from precond_gm.numerics.schedules import Schedule, sine_from_zero, value_and_slope
from precond_gm.paths.base import AbstractPath
from precond_gm.paths.schedules import FALLING, RISING, VARIANCE, check_inside, named
from precond_gm.values import Coefficients, TargetKind

__all__ = ["ALPHAS", "BETAS", "VARIANCES", "Interpolant", "falling", "rising"]


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


ALPHAS: dict[str, Schedule] = {"falling": falling}
"""Weights of the source end by name: ``1 - t``."""

BETAS: dict[str, Schedule] = {"rising": rising}
"""Weights of the data end by name: ``t``."""

VARIANCES: dict[str, Schedule] = {
    "sine": _sine,
    "brownian": _brownian,
    "quadratic": _quadratic,
}
"""``gamma**2`` by name: ``sin(pi t)^4``, ``2 t (1 - t)``, ``(t (1 - t))^2``."""

TEXTS = {
    "falling": ("1-t", "-1"),
    "rising": ("t", "1"),
    "sine": ("sin(pi t)^4", "4 pi sin(pi t)^3 cos(pi t)"),
    "brownian": ("2 t (1-t)", "2 (1-2 t)"),
    "quadratic": ("t^2 (1-t)^2", "2 t (1-t) (1-2 t)"),
}
"""Schedules by name with their slopes, as reports print them."""

_OPTIONS = {
    "alpha": (ALPHAS, FALLING),
    "beta": (BETAS, RISING),
    "variance": (VARIANCES, VARIANCE),
}


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
        alpha: Weight of the source end, from 1 to 0: a name in ``ALPHAS`` or a function of times.
            A checkpoint keeps names; functions are given to ``load`` again.
        beta: Weight of the data end, from 0 to 1: a name in ``BETAS`` or a function of times.
        variance: ``gamma**2``, 0 at both ends: a name in ``VARIANCES`` or a function of times. It
            is the square because its slope stays finite where that of gamma does not.
        antithetic: Whether ``sample`` gives two rows for each pair, with opposite noise.

    Raises:
        InvalidInputError: An unknown name, a function with other values at the ends, a negative
            variance, or a value or slope that is not finite inside (0, 1).

    References:
        2303.08797, definition 1 and section 6.1 (antithetic sampling).

    Example:
        >>> import torch
        >>> float(Interpolant(variance="brownian").coefficients(torch.tensor([0.5])).variance)
        0.5
    """

    kind: ClassVar[TargetKind] = TargetKind.VELOCITY
    default_prediction: ClassVar[TargetKind] = TargetKind.VELOCITY
    alpha: str | Schedule = "falling"
    beta: str | Schedule = "rising"
    variance: str | Schedule = "sine"
    antithetic: bool = False

    def __post_init__(self) -> None:
        own = False
        for option, (known, profile) in _OPTIONS.items():
            what = f"Interpolant: {option}"
            found = named(getattr(self, option), known, what)
            object.__setattr__(self, option, found)
            if not isinstance(found, str):
                profile.check(what, found)
                own = True
        if own:
            check_inside(self)

    @property
    def has_noise(self) -> bool:
        """True: gamma is not identically zero."""
        return True

    @property
    def formulas(self) -> dict[str, str]:
        """Those of the defaults and of named variances; your own are left as symbols."""
        found: dict[str, str] = {}
        for symbol, slope, schedule in (
            ("alpha", "alpha'", self.alpha),
            ("beta", "beta'", self.beta),
            ("gamma^2", "(gamma^2)'", self.variance),
        ):
            if isinstance(schedule, str) and schedule in TEXTS:
                found[symbol], found[slope] = TEXTS[schedule]
        return found

    def coefficients(self, t: Tensor) -> Coefficients:
        """Return the three schedules with their slopes."""
        return Coefficients(
            *self._at("alpha", t), *self._at("beta", t), *self._at("variance", t), has_noise=True
        )

    def _at(self, option: str, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return one of the schedules with its slope; those by name are exact as they are."""
        known, profile = _OPTIONS[option]
        schedule = getattr(self, option)
        if isinstance(schedule, str):
            return value_and_slope(known[schedule], t)
        return profile.at(schedule, t)
