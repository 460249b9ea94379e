r"""Second moments in one streaming pass, in float64, merged in any order.

Chunks are merged by the pairwise update of Chan, Golub and LeVeque (1983), which does not lose
digits when the mean is large against the deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["Moments"]


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
        if not rows.shape[0]:
            return cls.empty(rows.shape[1], rows.device)
        rows = rows.to(torch.float64)
        if weight is None:
            mean = rows.mean(0)
            centred = rows - mean
            return cls(rows.shape[0], mean, centred.T @ centred)
        share = (weight / weight.mean()).to(torch.float64)[:, None]
        mean = (share * rows).mean(0)
        centred = rows - mean
        return cls(rows.shape[0], mean, centred.T @ (share * centred))

    @classmethod
    def by_group(
        cls, rows: Tensor, group: Tensor, weight: Tensor | None = None
    ) -> dict[int, Moments]:
        """Return the moments of each group of rows; one gather, then contiguous slices.

        Args:
            rows: Rows ``batch dim``.
            group: Integer group of each row.
            weight: Weight of each row, or None; scaled to mean one within each group.
        """
        names, counts = torch.unique(group, return_counts=True)
        order = torch.argsort(group)
        parts = torch.split(rows[order], counts.tolist())
        weights: Sequence[Tensor | None] = [None] * len(parts)
        if weight is not None:
            weights = torch.split(weight[order], counts.tolist())
        return {
            int(name): cls.of(part, share)
            for name, part, share in zip(names, parts, weights, strict=True)
        }

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of rows together."""
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.count / count)
        weight = self.count * other.count / count
        scatter = torch.addr(self.scatter, gap, gap, alpha=weight).add_(other.scatter)
        return Moments(count, mean, scatter)

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
