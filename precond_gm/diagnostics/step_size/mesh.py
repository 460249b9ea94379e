"""Several time grids on one mesh, so that one Brownian path serves them all."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError

__all__ = ["Mesh", "exact_times"]

_SAME_TIME = 1e-9  # two grids name the same time when they differ by rounding only
_LAST_GAP = 1e-4  # of the exact process before t = 1, where the drift of narrow targets turns
_PER_HALVING = 8  # its times for each halving of 1 - t


@dataclass(frozen=True)
class Mesh:
    """Union of the times of several grids; grids need not divide each other.

    Attributes:
        times: Increasing times, float64 numbers.
        at: For each grid, where its times stand in ``times``.

    Example:
        >>> import torch
        >>> mesh = Mesh.union([torch.linspace(0, 1, 3), torch.linspace(0, 1, 4)])
        >>> [round(t, 3) for t in mesh.times], mesh.at
        ([0.0, 0.333, 0.5, 0.667, 1.0], ((0, 2, 4), (0, 1, 3, 4)))
    """

    times: tuple[float, ...]
    at: tuple[tuple[int, ...], ...]

    @classmethod
    def union(cls, grids: Sequence[Tensor], extra: Tensor | None = None) -> Mesh:
        """Merge grids, and further times up to the last end.

        Args:
            grids: Increasing times, all with the same first time.
            extra: Times that belong to no grid, in any order.

        Raises:
            InvalidInputError: Grids that start at different times.
        """
        lists: list[list[float]] = [g.to("cpu", torch.float64).tolist() for g in grids]
        start, end = lists[0][0], max(times[-1] for times in lists)
        if any(abs(times[0] - start) > _SAME_TIME for times in lists):
            starts = sorted({times[0] for times in lists})
            raise InvalidInputError(
                f"grids that run together start at one time, where the source is drawn; got "
                f"{starts}. Start all of them at 0."
            )
        times = sorted(t for grid in lists for t in grid)
        if extra is not None:
            times = sorted(times + [t for t in extra.tolist() if start < t < end])
        kept = times[:1]
        for t in times[1:]:
            if t - kept[-1] > _SAME_TIME:
                kept.append(t)
        at = tuple(tuple(_nearest(kept, t) for t in grid) for grid in lists)
        for grid, index in zip(lists, at, strict=True):
            if len(set(index)) < len(grid):
                raise InvalidInputError(
                    f"two times of a grid of {len(grid) - 1} steps are closer than "
                    f"{_SAME_TIME:g}, which is rounding. Use fewer steps, or stop earlier."
                )
        return cls(tuple(kept), at)

    @property
    def finest(self) -> int:
        """Which grid has the most steps."""
        return max(range(len(self.at)), key=lambda s: len(self.at[s]))

    @cached_property
    def starting(self) -> dict[int, list[tuple[int, float]]]:
        """At each mesh time, the grids that begin a step there, with its length."""
        found: dict[int, list[tuple[int, float]]] = {}
        for s, index in enumerate(self.at):
            for a, b in itertools.pairwise(index):
                found.setdefault(a, []).append((s, self.times[b] - self.times[a]))
        return found

    @cached_property
    def last_start(self) -> tuple[int, ...]:
        """For each grid, the mesh time at which its last step begins."""
        return tuple(index[-2] for index in self.at)

    @cached_property
    def ending(self) -> dict[int, list[int]]:
        """At each mesh time, the grids that end there."""
        found: dict[int, list[int]] = {}
        for s, index in enumerate(self.at):
            found.setdefault(index[-1], []).append(s)
        return found


def exact_times(steps: int, end: float) -> Tensor:
    """Return times at which an exact process is simulated: equal steps, and ever finer towards 1.

    The drift towards a target of variance lambda turns within ``1 - t`` of about lambda.
    """
    equal = torch.linspace(0, end, steps + 1, dtype=torch.float64)
    halvings = torch.arange(int(_PER_HALVING * -torch.log2(torch.tensor(_LAST_GAP))) + 1)
    return torch.cat((equal, 1 - torch.exp2(-halvings.to(torch.float64) / _PER_HALVING)))


def _nearest(times: list[float], t: float) -> int:
    right = bisect.bisect_left(times, t)
    if right == len(times):
        return right - 1
    return right if right == 0 or times[right] - t <= t - times[right - 1] else right - 1
