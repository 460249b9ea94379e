"""Checks of the options of weights and time laws, made when the part is made."""

from __future__ import annotations

import math

from precond_gm.errors import InvalidInputError

__all__ = ["check_finite", "check_positive"]


def check_finite(owner: str, hint: str = "", **options: float) -> None:
    """Check that options are finite numbers.

    Args:
        owner: Name of the part.
        hint: What to do instead, a sentence.
        **options: The options by name.

    Raises:
        InvalidInputError: One is not; it is named.
    """
    for name, value in options.items():
        if not _is_finite(value):
            _refuse(owner, name, "a finite number", value, hint)


def check_positive(owner: str, hint: str = "", largest: float = math.inf, **options: float) -> None:
    """Check that options are finite numbers above 0.

    Args:
        owner: Name of the part.
        hint: What to do instead, a sentence.
        largest: Largest value allowed.
        **options: The options by name.

    Raises:
        InvalidInputError: One is not; it is named.

    Example:
        >>> check_positive("Beta", a=2.0, b=0.5)
    """
    bound = "" if math.isinf(largest) else f" and at most {largest:g}"
    for name, value in options.items():
        if not (_is_finite(value) and 0 < value <= largest):
            _refuse(owner, name, f"a finite number above 0{bound}", value, hint)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _refuse(owner: str, name: str, allowed: str, value: object, hint: str) -> None:
    raise InvalidInputError(f"{owner}: {name} is {allowed}; got {value!r}. {hint}".rstrip())
