"""Objectives as text, for command lines and tables."""

from __future__ import annotations

from typing import Any

from precond_gm.errors import InvalidInputError
from precond_gm.registry import spec_of

__all__ = ["settings_of"]

PLACES = ("prediction", "loss_space", "divergence", "weight", "time_law")


def settings_of(text: str) -> dict[str, Any]:
    """Read ``prediction/loss_space/divergence/weight/time_law`` as settings of ``compose``.

    Later places may be left out, and a place may be empty: both mean the default.

    Args:
        text: One objective, such as ``x1/velocity`` or ``x1//squared//beta:a=2,b=2``.

    Raises:
        InvalidInputError: More than five places.

    Example:
        >>> settings_of("x1//bce:low=-1")
        {'prediction': 'x1', 'divergence': ('bce', {'low': -1})}
    """
    places = text.split("/")
    if len(places) > len(PLACES):
        raise InvalidInputError(
            f"an objective is {'/'.join(PLACES)}, the later ones optional; got {text!r}."
        )
    return {name: spec_of(place) for name, place in zip(PLACES, places, strict=False) if place}
