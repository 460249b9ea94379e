"""Checks that the grids share."""

from __future__ import annotations

from numbers import Integral

from precond_gm.errors import InvalidInputError

__all__ = ["check_delta", "check_steps", "check_t_max"]


def check_steps(steps: int, least: int = 1) -> int:
    """Return ``steps``, an integer of at least ``least``.

    Raises:
        InvalidInputError: Anything else.
    """
    if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < least:
        raise InvalidInputError(
            f"steps is {steps!r}; this grid needs an integer of at least {least}."
        )
    return int(steps)  # of numpy, say


def check_t_max(t_max: float) -> float:
    """Return ``t_max``, in (0, 1].

    Raises:
        InvalidInputError: Anything else.
    """
    if not 0 < t_max <= 1:
        raise InvalidInputError(f"t_max is {t_max}; it lies in (0, 1], and 1 is the data.")
    return float(t_max)


def check_delta(delta: float, below: float = 1.0) -> float:
    """Return ``delta``, in (0, below).

    Raises:
        InvalidInputError: Anything else.
    """
    if not 0 < delta < below:
        raise InvalidInputError(
            f"delta is {delta}; it is the distance to t = 1 where sampling stops, in "
            f"(0, {below:g})."
        )
    return float(delta)
