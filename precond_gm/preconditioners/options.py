"""Checks of options where a map is made: a wrong one is named before anything is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from precond_gm.errors import InvalidInputError

__all__ = ["check_counts", "check_share", "check_widths"]


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
            raise InvalidInputError(
                f"{type(part).__name__}: {name} is a whole number from {least} on; got {value!r}."
            )


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
            write = f" Write {name}=({value},)." if _is_whole(value) and value > 0 else ""
            raise InvalidInputError(
                f"{type(part).__name__}: {name} is a tuple of positive widths, one per layer, such "
                f"as (64, 64); got {value!r}.{write}"
            )


def check_share(part: object, name: str) -> None:
    """Check that an option of a part is a share of the largest: a number in [0, 1).

    Raises:
        InvalidInputError: With the class, the option and its value.
    """
    value = getattr(part, name)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:
        raise InvalidInputError(
            f"{type(part).__name__}: {name} is a share of the largest, in [0, 1); got {value!r}. "
            f"The default, 1e-10, leaves out what rounding makes."
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
