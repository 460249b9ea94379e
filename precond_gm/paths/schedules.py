"""A path's own schedules: a name or a function, with exact ends and values that were looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.schedules import Schedule, value_and_slope
from precond_gm.paths.base import AbstractPath

__all__ = ["FALLING", "RISING", "SIGNAL", "VARIANCE", "Profile", "check_inside", "named"]

_ROUNDING = 1e-9  # cos(pi / 2) is 6e-17 off; a square root of this, as gamma, is still 3e-5
_INSIDE = 1024  # pieces of [0, 1]; (1 - t)**5 at the last border is just above eps(float64)


@dataclass(frozen=True)
class Profile:
    """What a schedule has to be: its ends, and the range that it stays in.

    Attributes:
        start: Value at t = 0.
        end: Value at t = 1.
        low: Least value.
        high: Largest value.
    """

    start: float
    end: float
    low: float = -math.inf
    high: float = math.inf

    def check(self, what: str, schedule: Schedule) -> None:
        """Look at a schedule at both ends and on a fine grid between them.

        Args:
            what: Name of the schedule, for messages.
            schedule: Function of times.

        Raises:
            InvalidInputError: Not one number per time, other ends than rounding explains, or a
                value outside the range.
        """
        t = _inside()
        values = schedule(torch.cat((t.new_zeros(1), t, t.new_ones(1))))
        if not isinstance(values, Tensor) or values.shape != (_INSIDE + 1,):
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise InvalidInputError(
                f"{what} gives one number for each of {_INSIDE + 1} times; got {got}. "
                f"Compute it from t, with torch functions."
            )
        start, end = float(values[0]), float(values[-1])
        if not (abs(start - self.start) <= _ROUNDING and abs(end - self.end) <= _ROUNDING):
            raise InvalidInputError(
                f"{what} is {self.start:g} at t = 0 and {self.end:g} at t = 1; got {start:.6g} and "
                f"{end:.6g}. Shift and scale it."
            )
        inside = values[1:-1]
        fits = (inside >= self.low - _ROUNDING) & (inside <= self.high + _ROUNDING)
        wrong = ~(fits & torch.isfinite(inside))
        if bool(wrong.any()):
            first = int(torch.nonzero(wrong)[0])
            raise InvalidInputError(
                f"{what} is {float(inside[first]):.6g} at t = {float(t[first]):.6g}; it is finite "
                f"and in [{self.low:g}, {self.high:g}] for all t. Scale it, or choose another."
            )

    def at(self, schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return value and slope, with ends and range exact where rounding missed them.

        Example:
            >>> float(FALLING.at(lambda t: torch.cos(torch.pi / 2 * t), torch.ones(1))[0])
            0.0
        """
        value, slope = value_and_slope(schedule, t)
        value = value.clamp(self.low, self.high)
        return torch.where(t <= 0, self.start, torch.where(t >= 1, self.end, value)), slope


FALLING = Profile(1.0, 0.0)
RISING = Profile(0.0, 1.0)
SIGNAL = Profile(0.0, 1.0, low=0.0, high=1.0)
VARIANCE = Profile(0.0, 0.0, low=0.0)


def named(schedule: Any, known: Mapping[str, Schedule], what: str) -> str | Schedule:
    """Return the name of a schedule that has one, since a name can be saved, or the function.

    Raises:
        InvalidInputError: An unknown name, or neither a name nor a function.
    """
    for name, function in known.items():
        if schedule is function:
            return name
    if callable(schedule) or (isinstance(schedule, str) and schedule in known):
        return schedule
    raise InvalidInputError(
        f"{what} is one of {', '.join(known)} or a function of times; got {schedule!r}."
    )


def check_inside(path: AbstractPath) -> None:
    """Refuse a path whose coefficients are not finite somewhere on a fine grid inside (0, 1).

    Raises:
        InvalidInputError: It is; names the coefficient and the first such time.
    """
    t = _inside()
    c = path.coefficients(t)
    for field in ("alpha", "alpha_slope", "beta", "beta_slope", "variance", "variance_slope"):
        finite = torch.isfinite(getattr(c, field))
        if not bool(finite.all()):
            first = int(torch.nonzero(~finite)[0])
            raise InvalidInputError(
                f"{type(path).__name__}: {field} is {float(getattr(c, field)[first])} at "
                f"t = {float(t[first]):.6g}. Use a schedule that is smooth, and that reaches its "
                f"last value at t = 1 only."
            )


def _inside() -> Tensor:
    """Return the interior times of a fine grid."""
    return torch.arange(1, _INSIDE, dtype=torch.float64) / _INSIDE
