"""What a grid of times is: n + 1 increasing numbers in [0, 1]."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError

__all__ = ["check_times"]


def check_times(times: Tensor) -> list[float]:
    """Return a grid as floats.

    Raises:
        InvalidInputError: Not one-dimensional, fewer than two times, not finite, not increasing,
            or outside [0, 1].

    Example:
        >>> check_times(torch.linspace(0, 1, 3))
        [0.0, 0.5, 1.0]
    """
    if not isinstance(times, Tensor) or times.ndim != 1 or times.shape[0] < 2:
        got = tuple(times.shape) if isinstance(times, Tensor) else type(times).__name__
        raise InvalidInputError(
            f"times is a tensor of n + 1 increasing times, n >= 1 steps; got {got}. "
            f"solvers.grids makes one."
        )
    grid: list[float] = times.detach().to(torch.float64).tolist()
    for k, (before, after) in enumerate(itertools.pairwise(grid)):
        if not after > before:
            raise InvalidInputError(
                f"times has to increase; times[{k}] = {before:.6g} and times[{k + 1}] = "
                f"{after:.6g}. To run from data to noise, use solvers.reverse_time(dynamics)."
            )
    if not (grid[0] >= 0 and grid[-1] <= 1):
        raise InvalidInputError(
            f"times lies in [0, 1] (0 is noise, 1 is data); got [{grid[0]:.6g}, {grid[-1]:.6g}]. "
            f"Rescale the grid."
        )
    return grid
