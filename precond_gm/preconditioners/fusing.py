"""Multiply neighbouring affine maps out, so that a chain of them costs no more than one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from precond_gm.preconditioners.affine import AbstractAffine
from precond_gm.preconditioners.base import AbstractPreconditioner
from precond_gm.preconditioners.operators import AbstractOperator, Diagonal, Rotated
from precond_gm.preconditioners.precision import full_precision
from precond_gm.values import Transformed

__all__ = ["Stage", "fused"]

MAX_NUMBERS = 2**22  # of the product's matrices: above, multiplying out costs more than it saves


class Product(nn.Module):
    """Neighbouring affine maps as one operator on flattened rows."""

    def __init__(self, operator: AbstractOperator, uses_label: bool) -> None:
        super().__init__()
        self.operator = operator
        self.uses_label = uses_label

    @full_precision
    def forward(self, x: Tensor, label: Tensor | None = None) -> Transformed:
        """Apply the maps."""
        label = label if self.uses_label else None
        value = self.operator(x.reshape(x.shape[0], 1, -1), label)
        return Transformed(value.reshape(x.shape), self.operator.log_abs_det(label, x))

    @full_precision
    def inverse(self, z: Tensor, label: Tensor | None = None) -> Transformed:
        """Undo the maps."""
        label = label if self.uses_label else None
        value = self.operator.inverse(z.reshape(z.shape[0], 1, -1), label)
        return Transformed(value.reshape(z.shape), -self.operator.log_abs_det(label, z))


Stage = AbstractPreconditioner | Product


def fused(maps: list[AbstractPreconditioner]) -> list[Stage]:
    """Return the maps with neighbouring affine ones on flattened rows multiplied out."""
    stages: list[Stage] = []
    for item in maps:
        previous = stages[-1] if stages else None
        if previous is not None and _is_flat(previous) and _is_flat(item):
            first, second = _operator(previous), _operator(item)
            if _is_small(first, second):
                labelled = any(_uses_label(stage) for stage in (previous, item))
                stages[-1] = Product(_product(first, second), labelled)
                continue
        stages.append(item)
    return stages


def _is_flat(stage: Stage) -> bool:
    if isinstance(stage, Product):
        return True
    flat = isinstance(stage, AbstractAffine) and type(stage).arrange is AbstractAffine.arrange
    return flat and isinstance(_operator(stage), (Diagonal, Rotated))


def _operator(stage: Stage) -> AbstractOperator:
    operator = stage.operator
    assert isinstance(operator, AbstractOperator)
    return operator


def _uses_label(stage: Stage) -> bool:
    return stage.uses_label if isinstance(stage, Product) else stage.num_labels is not None


def _is_small(first: AbstractOperator, second: AbstractOperator) -> bool:
    if isinstance(first, Diagonal) and isinstance(second, Diagonal):
        return True
    labels = max(first.mean.shape[0], second.mean.shape[0])
    return labels * first.mean.shape[-1] ** 2 <= MAX_NUMBERS


@torch.no_grad()
def _product(first: AbstractOperator, second: AbstractOperator) -> AbstractOperator:
    r"""Return ``M2 (M1 (x - m1) - m2) = M2 M1 (x - (m1 + M1^-1 m2))`` in factors."""
    like = first.mean
    labels = max(first.mean.shape[0], second.mean.shape[0])
    size = like.shape[-1]
    index = torch.arange(labels, device=like.device)
    own = index if first.mean.shape[0] > 1 else None
    mean = first.inverse(second.mean.expand(labels, 1, size), own)
    result: AbstractOperator
    if isinstance(first, Diagonal) and isinstance(second, Diagonal):
        result = Diagonal(labels, 1, size, 1)
        result.set(like, mean=mean, scale=(first.scale * second.scale).expand(labels, 1, size))
        return result
    matrix = second.matrices().to(torch.float64) @ first.matrices().to(torch.float64)
    left, scale, right = torch.linalg.svd(matrix.expand(labels, 1, size, size))
    result = Rotated(labels, 1, size, 1, back=True)
    result.set(like, mean=mean, scale=scale, turn=right, turn_back=left)
    return result
