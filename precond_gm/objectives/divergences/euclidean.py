"""Divergences on R^d: the squared norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from precond_gm.objectives.divergences.base import AbstractDivergence, sum_event

__all__ = ["Squared"]


@final
@dataclass(frozen=True)
class Squared(AbstractDivergence):
    r"""Squared distance ``||a - b||^2``, summed over the event (not averaged).

    Example:
        >>> import torch
        >>> Squared()(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]]))
        tensor([5.])
    """

    is_translation_invariant: ClassVar[bool] = True

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return ``||target - prediction||^2`` of each row."""
        return sum_event((prediction - target).square())
