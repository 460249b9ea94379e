"""Callables that the package passes around."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["Dynamics", "Field"]


@runtime_checkable
class Field(Protocol):
    """What a network estimates: ``(t, z, label) -> prediction`` of the shape of ``z``."""

    def __call__(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Predict at times ``t`` (shape batch) and points ``z`` (shape batch *event)."""
        ...


@runtime_checkable
class Dynamics(Protocol):
    """What a solver integrates: ``(t, z, label) -> velocity or drift`` of the shape of ``z``."""

    def __call__(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Evaluate at times ``t`` (shape batch) and points ``z`` (shape batch *event)."""
        ...
