"""Variance of each feature in one streaming pass: ``Moments`` without the d x d matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Variances"]


@dataclass(frozen=True)
class Variances:
    """Count, mean and centred sum of squares of each feature.

    Attributes:
        count: Number of rows.
        mean: Mean, shape ``*dims``, float64.
        scatter: Sum of centred squares, shape ``*dims``, float64.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Variances:
        """Return the moments of rows ``batch *dims``."""
        rows = rows.to(torch.float64)
        mean = rows.mean(0)
        return cls(rows.shape[0], mean, (rows - mean).square_().sum(0))

    def merge(self, other: Variances) -> Variances:
        """Return the moments of both sets of rows together."""
        count = self.count + other.count
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.count / count)
        shift = gap.square() * (self.count * other.count / count)
        return Variances(count, mean, self.scatter + other.scatter + shift)

    @property
    def variance(self) -> Tensor:
        """Variance with divisor ``count``."""
        return self.scatter / self.count
