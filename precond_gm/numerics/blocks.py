r"""Second moments of rows cut into blocks, in one streaming pass, in float64, merged in any order.

Rows are ``batch blocks k``. Each block has its own mean; the covariance is either each block's own
(``blocks k k``) or one that all blocks share (``1 k k``). With one block of all features these are
the ordinary moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["BlockMoments"]


@dataclass(frozen=True)
class BlockMoments:
    """Count, means and centred scatter of blocked rows.

    Attributes:
        count: Number of rows.
        mean: Mean of each block, shape ``blocks k``, float64.
        scatter: Sum of centred outer products, shape ``blocks k k``, or ``1 k k`` if all blocks
            share it, float64.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, rows: Tensor, *, common: bool = False) -> BlockMoments:
        """Return the moments of rows ``batch blocks k``; ``common`` adds up all blocks' scatter."""
        rows = rows.to(torch.float64)
        mean = rows.mean(0)
        centred = rows - mean
        centred = centred.flatten(0, 1)[None] if common else centred.transpose(0, 1)
        return cls(rows.shape[0], mean, centred.mT @ centred)

    def merge(self, other: BlockMoments) -> BlockMoments:
        """Return the moments of both sets of rows together (Chan, Golub and LeVeque, 1983)."""
        count = self.count + other.count
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.count / count)
        shift = self.about(gap) * (self.count * other.count / count)
        return BlockMoments(count, mean, self.scatter + other.scatter + shift)

    def about(self, gap: Tensor) -> Tensor:
        """Return the outer products of a gap between means, in the shape of the scatter."""
        outer = gap[:, :, None] * gap[:, None, :]
        return outer.sum(0, keepdim=True) if self.scatter.shape[0] == 1 else outer

    @property
    def repeats(self) -> int:
        """Blocks behind each covariance."""
        return self.mean.shape[0] // self.scatter.shape[0]

    @property
    def covariance(self) -> Tensor:
        """Covariance with divisor ``count`` per block: that of the empirical law itself."""
        return self.scatter / (self.count * self.repeats)
