r"""Second moments in one streaming pass, in float64, merged in any order.

Chunks are merged by the pairwise update of Chan, Golub and LeVeque (1983), which does not lose
digits when the mean is large against the deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Moments"]


@dataclass(frozen=True)
class Moments:
    """Count, mean and centred scatter of rows.

    Attributes:
        count: Number of rows.
        mean: Mean, shape ``dim``, float64.
        scatter: Sum of centred outer products, shape ``dim dim``, float64.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Moments:
        """Return the moments of rows ``batch dim``."""
        rows = rows.to(torch.float64)
        mean = rows.mean(0)
        centred = rows - mean
        return cls(rows.shape[0], mean, centred.T @ centred)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of rows together."""
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.count / count)
        shift = torch.outer(gap, gap) * (self.count * other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + shift)

    @property
    def covariance(self) -> Tensor:
        """Covariance with divisor ``count``: the second moment of the empirical law itself."""
        return self.scatter / self.count
