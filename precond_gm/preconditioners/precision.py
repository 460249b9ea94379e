"""Maps run in their own precision: a bfloat16 round trip is off by 0.05."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from precond_gm.values import Transformed

__all__ = ["full_precision"]

Method = TypeVar("Method", bound=Callable[..., Transformed])


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
    return rows.dtype if rows.dtype.itemsize >= 4 else torch.float32
