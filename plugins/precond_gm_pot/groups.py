"""Rows of a batch by label, padded so that labels of like size are solved together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Groups", "groups_of"]


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

    @property
    def rows(self) -> Iterator[Tensor]:
        """Row numbers of each label, without repetition."""
        return (index[:count] for index, count in zip(self.index, self.counts, strict=True))


def groups_of(label: Tensor | None, like: Tensor) -> list[Groups]:
    """Group the rows of a batch, all together if there are no labels.

    Labels whose counts lie between the same powers of two come together, so padding at most doubles
    their rows.

    Args:
        label: Label of each row, or None.
        like: Rows of the batch; device, and dtype of the weights.
    """
    if label is None:
        return [_padded([torch.arange(len(like), device=like.device)], like)]
    order = torch.argsort(label, stable=True)
    counts = torch.unique(label, return_counts=True)[1].tolist()
    parts = list(torch.split(order, counts))
    sizes = sorted({count.bit_length() for count in counts})
    return [_padded([part for part in parts if len(part).bit_length() == s], like) for s in sizes]


def _padded(parts: list[Tensor], like: Tensor) -> Groups:
    counts = [len(part) for part in parts]
    index = torch.stack([torch.cat((p, p[:1].expand(max(counts) - len(p)))) for p in parts])
    count = torch.tensor(counts, device=like.device)[:, None]
    real = torch.arange(max(counts), device=like.device) < count
    return Groups(index, real.to(like.dtype) / count, counts)
