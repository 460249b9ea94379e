"""Smallest and largest value, in one streaming pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Extent"]


@dataclass(frozen=True)
class Extent:
    """Count and extreme values of rows.

    Attributes:
        count: Number of rows.
        low: Smallest value, a scalar.
        high: Largest value, a scalar.
    """

    count: int
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Extent:
        """Return the extent of rows."""
        low, high = torch.aminmax(rows)
        return cls(rows.shape[0], low, high)

    def merge(self, other: Extent) -> Extent:
        """Return the extent of both sets of rows together."""
        return Extent(
            self.count + other.count,
            torch.minimum(self.low, other.low),
            torch.maximum(self.high, other.high),
        )
