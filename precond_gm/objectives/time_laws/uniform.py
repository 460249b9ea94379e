"""The uniform law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from precond_gm.objectives.time_laws.base import AbstractTimeLaw

__all__ = ["Uniform"]


@final
@dataclass(frozen=True)
class Uniform(AbstractTimeLaw):
    """Every time equally often.

    Example:
        >>> import torch
        >>> law = Uniform(sampling="low-discrepancy")
        >>> law.sample(4, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([4])
    """

    def quantile(self, u: Tensor) -> Tensor:
        """Return ``u``."""
        return u

    def cdf(self, t: Tensor) -> Tensor:
        """Return ``t``."""
        return t

    def log_density(self, t: Tensor) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(t)
