r"""One Brownian path per row, seen on any grid: coarse increments are sums of fine ones.

A comparison between step sizes is paired when all of them see the same path. ``refine`` adds
points between the old ones from the conditional law given the old increments, so that
coarsening gives the old path back.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.noise import standard_normal

__all__ = ["Brownian"]

_SAME_TIME = 1e-9  # two grids name the same time when they differ by rounding only


@dataclass(frozen=True, eq=False)
class Brownian:
    """Increments ``B(t_{k+1}) - B(t_k)`` of standard Brownian motions, one per row.

    Attributes:
        times: Grid, n + 1 increasing times, float64.
        increments: Shape ``n batch *event``, variance ``h_k`` per coordinate.
        antithetic: Whether the second half of the rows mirrors the first.

    Example:
        >>> import torch
        >>> fine = Brownian.draw(torch.linspace(0, 1, 9), torch.zeros(4, 2),
        ...                      generator=torch.Generator().manual_seed(0))
        >>> coarse = fine.coarsen(torch.linspace(0, 1, 3))
        >>> torch.allclose(coarse.increments[0], fine.increments[:4].sum(0))
        True
    """

    times: Tensor
    increments: Tensor
    antithetic: bool = False

    @classmethod
    def draw(
        cls,
        times: Tensor,
        like: Tensor,
        *,
        antithetic: bool = False,
        generator: torch.Generator | None = None,
    ) -> Brownian:
        """Draw paths on a grid.

        Args:
            times: Increasing times.
            like: Rows ``batch *event`` that give shape, dtype and device.
            antithetic: Draw half of the rows; the other half is their negative.
            generator: Source of the noise.

        Raises:
            InvalidInputError: Times that do not increase, or antithetic pairs of an odd number of
                rows.
        """
        times = _increasing(times)
        noise = _standard(times.shape[0] - 1, like, antithetic, generator)
        return cls(times, _scaled(noise, times.diff().sqrt()), antithetic)

    def coarsen(self, times: Tensor) -> Brownian:
        """See the same paths on a grid whose times are among the present ones.

        Raises:
            InvalidInputError: A time that is not in the present grid.
        """
        times = times.detach().to("cpu", torch.float64)
        index = _locate(times, self.times, "the grid is not a part of the present one")
        parts = [self.increments[a:b].sum(0) for a, b in itertools.pairwise(index)]
        return Brownian(times, torch.stack(parts), self.antithetic)

    def refine(self, times: Tensor, *, generator: torch.Generator | None = None) -> Brownian:
        r"""See the same paths on a grid that contains the present times.

        Within an old interval of length H and increment D, independent :math:`\xi_i \sim N(0, h_i)`
        are shifted to the right sum: :math:`\xi_i + (h_i / H)(D - \sum_j \xi_j)`.

        Raises:
            InvalidInputError: A present time is missing, or the grid leaves the present range, or
                does not increase.
        """
        times = _increasing(times)
        index = _locate(self.times, times, "the finer grid lacks a time of the present one")
        if index[0] != 0 or index[-1] != times.shape[0] - 1:
            raise InvalidInputError(
                f"a refinement stays within [{float(self.times[0]):.6g}, "
                f"{float(self.times[-1]):.6g}]; got [{float(times[0]):.6g}, "
                f"{float(times[-1]):.6g}]. Draw a longer path first."
            )
        h = times.diff()
        fine = _scaled(
            _standard(h.shape[0], self.increments[0], self.antithetic, generator), h.sqrt()
        )
        parts = []
        for k, (a, b) in enumerate(itertools.pairwise(index)):
            part = fine[a:b]
            missing = self.increments[k] - part.sum(0)
            parts.append(part + _scaled(missing.expand_as(part), h[a:b] / h[a:b].sum()))
        return Brownian(times, torch.cat(parts), self.antithetic)

    def values(self) -> Tensor:
        """Return ``B(t_k) - B(t_0)`` at every time, shape ``n+1 batch *event``."""
        return torch.cat([torch.zeros_like(self.increments[:1]), self.increments.cumsum(0)])


def _increasing(times: Tensor) -> Tensor:
    """Return a grid as float64 on the host."""
    times = times.detach().to("cpu", torch.float64)
    if times.ndim != 1 or times.shape[0] < 2 or not bool((times.diff() > 0).all()):
        raise InvalidInputError(
            f"the times of a Brownian path are two or more increasing numbers; got "
            f"{times.tolist() if times.numel() < 9 else tuple(times.shape)}. Sort them, and run "
            f"from data to noise with solvers.reverse_time(dynamics)."
        )
    return times


def _standard(
    steps: int, like: Tensor, antithetic: bool, generator: torch.Generator | None
) -> Tensor:
    if not antithetic:
        return standard_normal(like.expand(steps, *like.shape), generator)
    rows = like.shape[0]
    if rows % 2:
        raise InvalidInputError(
            f"antithetic pairs need an even number of rows; got {rows}. Add or drop one row."
        )
    half = standard_normal(like[: rows // 2].expand(steps, rows // 2, *like.shape[1:]), generator)
    return torch.cat([half, -half], dim=1)


def _scaled(increments: Tensor, factor: Tensor) -> Tensor:
    """Multiply each step's increments by its own number."""
    return increments * factor.to(increments).reshape(-1, *[1] * (increments.ndim - 1))


def _locate(part: Tensor, whole: Tensor, complaint: str) -> list[int]:
    """Return where the times of ``part`` stand in ``whole``."""
    right = torch.searchsorted(whole, part).clamp(max=whole.shape[0] - 1)
    left = (right - 1).clamp(min=0)
    nearer = (whole[left] - part).abs() < (whole[right] - part).abs()
    index = torch.where(nearer, left, right)
    off = (whole[index] - part).abs() > _SAME_TIME
    if bool(off.any()):
        first = float(part[off][0])
        raise InvalidInputError(
            f"{complaint}: no time equals {first:.9g}. Use nested grids, such as uniform grids "
            f"whose numbers of steps divide each other."
        )
    found: list[int] = index.tolist()
    if len(set(found)) < len(found):
        raise InvalidInputError(f"{complaint}: two of its times are the same.")
    if found != sorted(found):
        raise InvalidInputError(f"{complaint}: its times have to increase. Sort them.")
    return found
