"""How many steps a grid needs for the point mass: the smallest number with KL <= level."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from precond_gm.closed_form import PointMassBridge
from precond_gm.solvers import grids


def first_uniform(level: float, delta: float) -> int:
    """Return the first number of uniform steps on [0, 1 - delta] with KL <= level, by bisection."""
    bridge = PointMassBridge(0.0)
    low, high = 1, 2
    while not _good(bridge, grids.early_stopping(high, delta=delta), level):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        good = _good(bridge, grids.early_stopping(middle, delta=delta), level)
        low, high = (low, middle) if good else (middle, high)
    return high


def first_theorem3(
    level: float, delta: float, rule: Callable[[int, float], Tensor] = grids.theorem3
) -> int:
    """Return the number of steps of the first grid of theorem 3 with KL <= level, M = 1, 2, ..."""
    bridge, half = PointMassBridge(0.0), 1
    while not _good(bridge, rule(half, delta), level):
        half += 1
    return len(rule(half, delta)) - 1


def rounded_up(half_steps: int, delta: float) -> Tensor:
    """Return the grid of theorem 3 with its second part rounded up instead of to the nearest."""
    h = 1 / (2 * half_steps)
    late = math.ceil(-math.log(2 * delta) / math.log1p(h))
    j = torch.arange(1, late + 1, dtype=torch.float64)
    return torch.cat([grids.uniform(half_steps, 0.5), 1 - 0.5 * (1 + h) ** -j])


def _good(bridge: PointMassBridge, times: Tensor, level: float) -> bool:
    return float(bridge.marginal_kl(times)) <= level
