r"""Second moments in one streaming pass, in float64, merged in any order.

Chunks are merged by the pairwise update of Chan, Golub and LeVeque (1983), which does not lose
digits when the mean is large against the deviation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["MomentGathering", "Moments", "grouped"]

_ROWS = 8192  # copied to float64 at once


@dataclass(frozen=True)
class Moments:
    """Count, mean and centred scatter of rows.

    Attributes:
        count: Number of rows.
        mean: Mean, shape ``dim``, float64.
        scatter: Sum of centred outer products, shape ``dim dim``, float64.

    Example:
        >>> import torch
        >>> rows = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
        >>> both = Moments.of(rows[:1]).merge(Moments.of(rows[1:]))
        >>> both.covariance
        tensor([[1., 0.],
                [0., 1.]], dtype=torch.float64)
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def empty(cls, dim: int, device: torch.device | str | None = None) -> Moments:
        """Return the moments of no rows: the neutral element of ``merge``."""
        mean = torch.zeros(dim, dtype=torch.float64, device=device)
        return cls(0, mean, mean.new_zeros(dim, dim))

    @classmethod
    def of(cls, rows: Tensor, weight: Tensor | None = None) -> Moments:
        """Return the moments of rows ``batch dim``.

        Args:
            rows: Rows; converted to float64.
            weight: Weight of each row, or None; scaled to mean one, so that ``count`` stays the
                number of rows.
        """
        gathering = MomentGathering(rows.shape[1], rows.device)
        together = weight is not None  # weights scale together
        for part in (rows,) if together else torch.split(rows, _ROWS):
            gathering.add(part, weight)
        return gathering.moments()

    def merge(self, *others: Moments) -> Moments:
        """Return the moments of all these rows together."""
        parts = [part for part in (self, *others) if part.count]
        if len(parts) < 2:
            return parts[0] if parts else self
        count, origin = sum(part.count for part in parts), parts[0].mean
        shares = origin.new_tensor([part.count / count for part in parts])
        gaps = torch.stack([part.mean - origin for part in parts])
        shift = shares @ gaps
        gaps = (shares * count).sqrt()[:, None] * (gaps - shift)
        scatter = parts[0].scatter + parts[1].scatter
        for part in parts[2:]:
            scatter += part.scatter
        return Moments(count, origin + shift, scatter.addmm_(gaps.T, gaps))

    @staticmethod
    def within(parts: Iterable[Moments]) -> Moments:
        """Return the moments of all rows, each centred on the mean of its own part."""
        first, *rest = (replace(part, mean=torch.zeros_like(part.mean)) for part in parts)
        return first.merge(*rest)

    @staticmethod
    def between(parts: Iterable[Moments]) -> Moments:
        """Return the moments of all rows, each put at the mean of its own part.

        The scatter of all rows is this one plus that of ``within``.
        """
        parts = list(parts)
        nothing = torch.zeros_like(parts[0].scatter)
        first, *rest = (replace(part, scatter=nothing) for part in parts)
        return first.merge(*rest)

    def all_reduce(self, group: ProcessGroup | None = None) -> Moments:
        """Return the moments of the rows of all processes; every process must call it.

        Two sums are exchanged, the second one centred on the common mean, so that no digits are
        lost. Without an initialised process group the moments are returned as they are.
        """
        import torch.distributed as dist

        if not (dist.is_available() and dist.is_initialized()):
            return self
        sums = torch.cat((self.mean * self.count, self.mean.new_tensor([float(self.count)])))
        dist.all_reduce(sums, group=group)
        count = round(float(sums[-1]))
        mean = sums[:-1] / max(count, 1)
        gap = self.mean - mean
        scatter = torch.addr(self.scatter, gap, gap, alpha=self.count)
        dist.all_reduce(scatter, group=group)
        return Moments(count, mean, scatter)

    @property
    def dim(self) -> int:
        """Number of features."""
        return self.mean.shape[0]

    @property
    def covariance(self) -> Tensor:
        """Covariance with divisor ``count``: the second moment of the empirical law itself."""
        return self.scatter / self.count


class MomentGathering:
    """Moments of rows that come in parts: no matrix is made per part.

    The scatter is symmetric, so the block under the diagonal is not computed; and the gap between
    the mean so far and that of a part enters as one more row of the part.

    Args:
        dim: Number of features.
        device: Device of the rows.
    """

    def __init__(self, dim: int, device: torch.device | str | None = None) -> None:
        start = Moments.empty(dim, device)
        self._count, self._mean, self._scatter = 0, start.mean, start.scatter

    def add(self, rows: Tensor, weight: Tensor | None = None) -> None:
        """Take in rows ``batch dim``; weights as in ``Moments.of``."""
        new = rows.shape[0]
        if not new:
            return
        rows, count = rows.to(torch.float64), self._count + new
        share = None if weight is None else (weight / weight.mean()).to(torch.float64)[:, None]
        mean = (rows if share is None else share * rows).mean(0)
        gap = mean - self._mean
        centred = rows.new_empty(new + 1, rows.shape[1])
        torch.sub(rows, mean, out=centred[:-1])
        torch.mul(gap, math.sqrt(self._count * new / count), out=centred[-1])
        weighted = centred
        if share is not None:
            weighted = torch.cat((share * centred[:-1], centred[-1:]))
        half = rows.shape[1] // 2
        self._scatter[:half].addmm_(centred[:, :half].T, weighted)
        self._scatter[half:, half:].addmm_(centred[:, half:].T, weighted[:, half:])
        self._mean = self._mean + gap * (new / count)
        self._count = count

    def moments(self) -> Moments:
        """Return the moments of all rows so far."""
        half = self._mean.shape[0] // 2
        scatter = self._scatter.clone()
        scatter[half:, :half] = scatter[:half, half:].T
        return Moments(self._count, self._mean, scatter)


def grouped(
    rows: Tensor, group: Tensor, weight: Tensor | None = None
) -> Iterator[tuple[int, Tensor, Tensor | None]]:
    """Yield each group's number, rows and weights, one group at a time, the rows in their order.

    Args:
        rows: Rows ``batch dim``.
        group: Integer group of each row.
        weight: Weight of each row, or None.
    """
    names, counts = torch.unique(group, return_counts=True)
    for name, index in zip(
        names.tolist(), torch.split(torch.argsort(group, stable=True), counts.tolist()), strict=True
    ):
        yield name, rows[index], None if weight is None else weight[index]
