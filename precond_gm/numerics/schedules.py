"""Schedules: smooth functions of t, evaluated together with their slope."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.func import jvp

__all__ = ["Schedule", "sine_from_zero", "value_and_slope"]

Schedule = Callable[[Tensor], Tensor]


def value_and_slope(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``f(t)`` and ``f'(t)``, the slope by forward-mode differentiation.

    Args:
        schedule: Function of times that treats each of them alone.
        t: Times, shape batch.

    Example:
        >>> value_and_slope(lambda t: t**2, torch.tensor([3.0]))
        (tensor([9.]), tensor([6.]))
    """
    at = t.contiguous()  # forward mode refuses one time that was expanded over the rows
    return cast("tuple[Tensor, Tensor]", jvp(schedule, (at,), (torch.ones_like(at),)))


def sine_from_zero(t: Tensor) -> Tensor:
    """Return ``sin(pi t)``, exactly 0 at both ends, where ``sin(pi)`` in floating point is not."""
    return torch.sin(math.pi * torch.minimum(t, 1 - t))
