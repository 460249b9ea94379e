r"""Per-label affine operators on blocks: what every closed-form map is built on.

An operator holds, for each of L labels, a mean and an invertible matrix per block, and acts on
tensors of shape ``batch blocks k``. What all blocks share is stored once (a block axis of 1).
Matrices are kept in factors (rotation, scale, rotation): applied one after the other, the round
trip loses ``eps |x|`` however ill-conditioned the whole is, where a product that was rounded once
would lose ``eps`` times the square root of the condition number.
"""

from __future__ import annotations

import abc
import functools

import torch
from torch import Tensor, nn

__all__ = ["AbstractOperator", "Diagonal", "Rotated", "apply_per_label"]

FEW = 8  # columns


def apply_per_label(rows: Tensor, label: Tensor | None, matrices: Tensor) -> Tensor:
    """Multiply blocks (``batch blocks k``) by the matrices of their label (``L blocks|1 m k``)."""
    if label is None:
        return _multiply(rows, matrices[0])
    if rows.device.type == "cpu":
        out = rows.new_empty((*rows.shape[:-1], matrices.shape[2]))
        for index in torch.unique(label).tolist():
            mask = label == index
            out[mask] = _multiply(rows[mask], matrices[index])
        return out
    # Picking rows by mask would wait for the device: apply every matrix and select instead.
    out = _multiply(rows, matrices[0])
    for index in range(1, matrices.shape[0]):
        out = torch.where((label == index)[:, None, None], _multiply(rows, matrices[index]), out)
    return out


def _multiply(rows: Tensor, matrices: Tensor) -> Tensor:
    if matrices.shape[0] == 1:
        return rows @ matrices[0].mT
    if matrices.shape[2] <= FEW:  # so many products of so small matrices: faster by columns
        columns = (rows[..., j, None] * matrices[..., j] for j in range(matrices.shape[2]))
        return functools.reduce(torch.add, columns)
    return (rows.transpose(0, 1) @ matrices.mT).transpose(0, 1)


class AbstractOperator(nn.Module, abc.ABC):
    """Affine map per label on ``batch blocks k``.

    Args:
        labels: Number of labels L.
        blocks: Number of blocks.
        size: Size k of a block.
        scales: Blocks that have a scale of their own: 1 if they share it.

    Attributes:
        mean: Mean of each label, shape ``L blocks k``.
        scale: What each coordinate is multiplied by, shape ``L scales k``.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, labels: int, blocks: int, size: int, scales: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(labels, blocks, size))
        self.register_buffer("scale", torch.ones(labels, scales, size))

    def set(self, like: Tensor, **values: Tensor) -> None:
        """Fill buffers with values (float64, from a fit), in the dtype and device of ``like``."""
        for name, value in values.items():
            self.register_buffer(name, value.to(like).contiguous())

    def log_abs_det(self, label: Tensor | None, like: Tensor) -> Tensor:
        """Return ``log |det|`` of each row's map."""
        repeats = self.mean.shape[1] // self.scale.shape[1]
        totals = self.scale.abs().log().sum((1, 2)) * repeats
        return totals[0].expand(like.shape[0]) if label is None else totals[label]

    @abc.abstractmethod
    def forward(self, rows: Tensor, label: Tensor | None) -> Tensor:
        """Apply the map of each row's label."""

    @abc.abstractmethod
    def inverse(self, rows: Tensor, label: Tensor | None) -> Tensor:
        """Undo the map of each row's label."""

    @abc.abstractmethod
    def matrices(self) -> Tensor:
        """Return the matrices multiplied out, shape ``L scales k k``."""

    def _of(self, values: Tensor, label: Tensor | None) -> Tensor:
        return values[0] if label is None else values[label]


class Diagonal(AbstractOperator):
    """Shift and scale: ``z = scale * (x - mean)``."""

    def forward(self, rows: Tensor, label: Tensor | None) -> Tensor:
        """Apply the map of each row's label."""
        return (rows - self._of(self.mean, label)) * self._of(self.scale, label)

    def inverse(self, rows: Tensor, label: Tensor | None) -> Tensor:
        """Undo the map of each row's label."""
        return rows / self._of(self.scale, label) + self._of(self.mean, label)

    def matrices(self) -> Tensor:
        """Return the matrices multiplied out."""
        return torch.diag_embed(self.scale)


class Rotated(AbstractOperator):
    r"""``z = B diag(scale) A (x - mean)``, A and B orthogonal (B = I where ``back`` is off).

    Args:
        labels: Number of labels L.
        blocks: Number of blocks.
        size: Size k of a block.
        scales: Blocks that have matrices of their own: 1 if they share them.
        back: Whether there is a second rotation.
    """

    turn: Tensor
    turn_back: Tensor

    def __init__(self, labels: int, blocks: int, size: int, scales: int, back: bool) -> None:
        super().__init__(labels, blocks, size, scales)
        self.back = back
        self.register_buffer("turn", torch.eye(size).repeat(labels, scales, 1, 1))
        if back:
            self.register_buffer("turn_back", torch.eye(size).repeat(labels, scales, 1, 1))

    def forward(self, rows: Tensor, label: Tensor | None) -> Tensor:
        """Apply the map of each row's label."""
        rows = apply_per_label(rows - self._of(self.mean, label), label, self.turn)
        rows = rows * self._of(self.scale, label)
        return apply_per_label(rows, label, self.turn_back) if self.back else rows

    def inverse(self, rows: Tensor, label: Tensor | None) -> Tensor:
        """Undo the map of each row's label."""
        if self.back:
            rows = apply_per_label(rows, label, self.turn_back.mT)
        rows = rows / self._of(self.scale, label)
        return apply_per_label(rows, label, self.turn.mT) + self._of(self.mean, label)

    def matrices(self) -> Tensor:
        """Return the matrices multiplied out."""
        whole = self.scale[..., None] * self.turn
        return self.turn_back @ whole if self.back else whole
