r"""Leading principal directions of rows in one streaming pass, where d x d does not fit.

A sketch keeps ``rank`` scaled directions; two of them are merged by a thin singular value
decomposition of both, stacked (Ross, Lim, Lin and Yang, 2008). It is exact while the rows span no
more than ``rank`` directions, and close to it where the spectrum falls.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Sketch"]

SMALL = 512  # features up to which their covariance is cheaper than many small merges


@dataclass(frozen=True)
class Sketch:
    """Count, mean, total scatter and leading directions of rows.

    Attributes:
        count: Number of rows.
        mean: Mean, shape ``dim``, float64.
        total: Trace of the scatter matrix, a scalar.
        directions: Right singular vectors of the centred rows times their singular values, in
            falling order, shape ``at most rank, dim``.
        rank: Directions kept.
    """

    count: int
    mean: Tensor
    total: Tensor
    directions: Tensor
    rank: int

    @classmethod
    def of(cls, rows: Tensor, rank: int) -> Sketch:
        """Return the sketch of rows ``batch dim``."""
        result: Sketch | None = None
        # Many rows at once where a d x d matrix is small, else as many as keep the Gram matrix so.
        size = 8192 if rows.shape[1] <= SMALL else 2 * rank + 16
        for piece in torch.split(rows, size):
            part = piece.to(torch.float64)
            mean = part.mean(0)
            centred = part - mean
            one = cls(part.shape[0], mean, centred.square().sum(), _leading(centred, rank), rank)
            result = one if result is None else result.merge(one)
        assert result is not None
        return result

    def merge(self, other: Sketch) -> Sketch:
        """Return the sketch of both sets of rows together."""
        count = self.count + other.count
        gap = other.mean - self.mean
        shift = gap * (self.count * other.count / count) ** 0.5
        stacked = torch.cat([self.directions, other.directions, shift[None]])
        return Sketch(
            count,
            self.mean + gap * (other.count / count),
            self.total + other.total + shift.square().sum(),
            _leading(stacked, self.rank),
            self.rank,
        )

    def eigenpairs(self, rank: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``rank`` variances and unit directions, and the mean variance of the rest.

        Variances and directions are padded with zeros to the rank of the sketch. The rest counts
        for at least a millionth of the largest variance, and where no direction is left, for the
        mean variance.
        """
        squares = self.directions.square().sum(1)
        kept = squares > squares.amax().clamp_min(1e-300) * 1e-14
        kept &= torch.arange(kept.shape[0], device=kept.device) < rank
        values = torch.where(kept, squares, 0.0) / self.count
        lengths = torch.where(kept, squares, 1.0).sqrt()
        vectors = torch.where(kept[:, None], self.directions / lengths[:, None], 0.0)
        missing = self.rank - values.shape[0]
        values = torch.nn.functional.pad(values, (0, missing))
        vectors = torch.nn.functional.pad(vectors, (0, 0, 0, missing))
        variance = self.total / self.count
        left = self.mean.shape[0] - int(kept.sum())
        rest = (variance - values.sum()) / left if left else variance / self.mean.shape[0]
        return values, vectors, torch.maximum(rest, 1e-6 * values.amax())


def _leading(rows: Tensor, rank: int) -> Tensor:
    """Return leading right singular vectors times singular values, from the smaller Gram matrix."""
    if rows.shape[0] > rows.shape[1]:
        values, vectors = torch.linalg.eigh(rows.T @ rows)
        scaled = vectors.T * values.clamp_min(0).sqrt()[:, None]
        return scaled.flip(0)[:rank]
    _, turn = torch.linalg.eigh(rows @ rows.T)
    return turn.flip(1)[:, :rank].T @ rows
