"""Checks of options where a part is made: a wrong one is named before anything runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

from precond_gm.errors import InvalidInputError

__all__ = ["check_counts", "check_finite", "check_positive", "check_share", "check_widths"]


def check_counts(part: object, *names: str, least: int = 1) -> None:
    """Check that options of a part are whole numbers from ``least`` on.

    Args:
        part: Holder of the options; those that it lacks, or that are None, are passed over.
        names: The options.
        least: Smallest value allowed.

    Raises:
        InvalidInputError: With the class, the option and its value.

    Example:
        >>> from precond_gm.preconditioners import LowRank
        >>> LowRank(rank=0)
        Traceback (most recent call last):
        precond_gm.errors.InvalidInputError: LowRank: rank is a whole number from 1 on; got 0.
    """
    for name in names:
        value = getattr(part, name, None)
        if value is not None and (not _is_whole(value) or value < least):
            raise _wrong(part, name, f"a whole number from {least} on", value)


def check_widths(part: object, *names: str) -> None:
    """Check that options of a part are widths of layers, a sequence of positive whole numbers.

    Args:
        part: Holder of the options; those that it lacks are passed over.
        names: The options.

    Raises:
        InvalidInputError: With the class, the option, its value and what to write.
    """
    for name in names:
        value: Any = getattr(part, name, ())
        if not isinstance(value, Sequence) or not all(_is_whole(n) and n > 0 for n in value):
            write = f"Write {name}=({value},)." if _is_whole(value) and value > 0 else ""
            allowed = "a tuple of positive widths, one per layer, such as (64, 64)"
            raise _wrong(part, name, allowed, value, write)


def check_share(part: object, name: str) -> None:
    """Check that an option of a part is a share of the largest: a number in [0, 1).

    Raises:
        InvalidInputError: With the class, the option and its value.
    """
    value = getattr(part, name)
    if not (_is_finite(value) and 0 <= value < 1):
        hint = "The default, 1e-10, leaves out what rounding makes."
        raise _wrong(part, name, "a share of the largest, in [0, 1)", value, hint)


def check_finite(part: object, *names: str) -> None:
    """Check that options of a part are finite numbers.

    Raises:
        InvalidInputError: With the class, the option and its value.
    """
    for name in names:
        if not _is_finite(value := getattr(part, name)):
            raise _wrong(part, name, "a finite number", value)


def check_positive(part: object, *names: str, largest: float = math.inf, hint: str = "") -> None:
    """Check that options of a part are finite numbers above 0.

    Args:
        part: Holder of the options.
        names: The options.
        largest: Largest value allowed.
        hint: What to do instead, a sentence.

    Raises:
        InvalidInputError: With the class, the option, its value and the hint.

    Example:
        >>> from precond_gm.paths import BrownianBridge
        >>> BrownianBridge(t_max=2)
        Traceback (most recent call last):
        precond_gm.errors.InvalidInputError: BrownianBridge: t_max is a number in (0, 1]; got 2.
    """
    allowed = "a finite number above 0" if math.isinf(largest) else f"a number in (0, {largest:g}]"
    for name in names:
        value = getattr(part, name)
        if not (_is_finite(value) and 0 < value <= largest):
            raise _wrong(part, name, allowed, value, hint)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _wrong(
    part: object, name: str, allowed: str, value: object, hint: str = ""
) -> InvalidInputError:
    text = f"{type(part).__name__}: {name} is {allowed}; got {value!r}. {hint}"
    return InvalidInputError(text.rstrip())
