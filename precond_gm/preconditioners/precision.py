"""Maps run in their own precision, float32 at least: a bfloat16 round trip is off by 0.05.

Rows of fewer bits are cast to float32 where they enter a fit and where a map is applied; images
come back in the dtype of the map's own tensors, which stay float32 or float64 whatever a model
around the map is cast to. Only the identity gives rows back as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from precond_gm.values import Transformed

__all__ = ["full_precision", "widened"]

Method = TypeVar("Method", bound=Callable[..., Transformed])


def widened(values: Tensor) -> Tensor:
    """Return floating point values of fewer than 32 bits in float32, all others as they are."""
    narrow = values.is_floating_point() and values.dtype.itemsize < 4
    return values.to(torch.float32) if narrow else values


def full_precision(method: Method) -> Method:
    """Run ``forward`` or ``inverse`` with autocast off, in the dtype of the map's own tensors."""

    @functools.wraps(method)
    def run(self: nn.Module, rows: Tensor, label: Tensor | None = None) -> Transformed:
        with torch.autocast(rows.device.type, enabled=False):
            return method(self, rows.to(_dtype_of(self, rows)), label)

    return run  # type: ignore[return-value]


def _dtype_of(module: nn.Module, rows: Tensor) -> torch.dtype:
    own: Any
    for own in (*module.parameters(), *module.buffers()):
        if own.is_floating_point():
            return own.dtype
    return widened(rows[:0]).dtype
