"""Weights that are a formula in t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from precond_gm.objectives.weights.base import AbstractWeight
from precond_gm.values import Coefficients

__all__ = ["Constant"]


@final
@dataclass(frozen=True)
class Constant(AbstractWeight):
    """Weight one at all times."""

    def __call__(self, t: Tensor, coefficients: Coefficients) -> Tensor:
        """Return ones."""
        return torch.ones_like(t)
