"""Grids that depend on nothing but numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.solvers.grids.checks import check_steps, check_t_max

__all__ = ["uniform"]


def uniform(steps: int, t_max: float = 1.0) -> Tensor:
    """Return equal steps on ``[0, t_max]``.

    Example:
        >>> uniform(4).tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    check_steps(steps)
    return torch.linspace(0.0, check_t_max(t_max), steps + 1, dtype=torch.float64)
