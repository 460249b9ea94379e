"""Rows of a batch by label, padded so that labels of like size are solved together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Groups", "groups_of"]

SMALL = 256**2  # entries of a padded batch below which its calls take longer than its padding


@dataclass(frozen=True)
class Groups:
    """Some labels of a batch, each with its rows.

    Attributes:
        index: Row numbers of each label, shape ``labels rows``; a short one repeats its first.
        weight: Weight of each of them, ``1 / count``, and zero where a row is repeated.
        counts: Rows of each label.
    """

    index: Tensor
    weight: Tensor
    counts: list[int]

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of each label, shape ``labels rows dim``, as a copy."""
        return rows.index_select(0, self.index.flatten()).view(*self.index.shape, -1)


def groups_of(label: Tensor | None, like: Tensor) -> list[Groups]:
    """Group the rows of a batch, all together if there are no labels.

    Labels whose counts lie between the same powers of two come together, so padding at most doubles
    their rows; all labels do in a small batch.

    Args:
        label: Label of each row, or None.
        like: Rows of the batch; device, and dtype of the weights.
    """
    if label is None:
        return [_padded(torch.arange(len(like), device=like.device), [0], [len(like)], like)]
    order = torch.argsort(label, stable=True)
    counts = torch.unique(label, return_counts=True)[1].tolist()
    starts = [sum(counts[:k]) for k in range(len(counts))]
    if len(counts) * max(counts) ** 2 <= SMALL:
        return [_padded(order, starts, counts, like)]
    groups = []
    for size in sorted({count.bit_length() for count in counts}):
        mine = [k for k, count in enumerate(counts) if count.bit_length() == size]
        groups.append(_padded(order, [starts[k] for k in mine], [counts[k] for k in mine], like))
    return groups


def _padded(order: Tensor, starts: list[int], counts: list[int], like: Tensor) -> Groups:
    start, count = torch.tensor([starts, counts], device=order.device)[..., None].unbind()
    place = torch.arange(max(counts), device=order.device)
    real = place < count
    return Groups(order[start + place * real], real.to(like.dtype) / count, counts)
