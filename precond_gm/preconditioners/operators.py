r"""Per-label affine operators on blocks: what every closed-form map is built on.

An operator holds, for each of L labels, a mean and an invertible matrix of size k, and acts on
tensors of shape ``batch blocks k``. Matrices are kept in factors (rotation, scale, rotation):
applied one after the other, the round trip loses ``eps |x|`` however ill-conditioned the whole is,
where a product that was rounded once would lose ``eps`` times the square root of the condition.
"""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

__all__ = ["AbstractOperator", "Diagonal", "Rotated", "apply_per_label"]


def apply_per_label(rows: Tensor, label: Tensor | None, matrices: Tensor) -> Tensor:
    """Multiply each row's blocks (``batch blocks k``) by the matrix of its label (``L m k``)."""
    if label is None:
        return rows @ matrices[0].T
    if rows.device.type == "cpu":
        out = rows.new_empty((*rows.shape[:-1], matrices.shape[1]))
        for index in torch.unique(label).tolist():
            mask = label == index
            out[mask] = rows[mask] @ matrices[index].T
        return out
    # Picking rows by mask would wait for the device: apply every matrix and select instead.
    out = rows @ matrices[0].T
    for index in range(1, matrices.shape[0]):
        out = torch.where((label == index)[:, None, None], rows @ matrices[index].T, out)
    return out


class AbstractOperator(nn.Module, abc.ABC):
    """Affine map per label on ``batch blocks k``.

    Attributes:
        mean: Mean of each label, shape ``L k``.
        scale: What each coordinate is multiplied by, shape ``L k``.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, labels: int, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(labels, size))
        self.register_buffer("scale", torch.ones(labels, size))

    def set(self, like: Tensor, **values: Tensor) -> None:
        """Fill buffers with values (float64, from a fit), in the dtype and device of ``like``."""
        for name, value in values.items():
            self.register_buffer(name, value.to(like).contiguous())

    def log_abs_det(self, label: Tensor | None, like: Tensor) -> Tensor:
        """Return ``log |det|`` of each row's map of one block."""
        totals = self.scale.abs().log().sum(1)
        return totals[0].expand(like.shape[0]) if label is None else totals[label]

    @abc.abstractmethod
    def forward(self, rows: Tensor, label: Tensor | None) -> Tensor:
        """Apply the map of each row's label."""

    @abc.abstractmethod
    def inverse(self, rows: Tensor, label: Tensor | None) -> Tensor:
        """Undo the map of each row's label."""

    @abc.abstractmethod
    def matrices(self) -> Tensor:
        """Return the matrices multiplied out, shape ``L k k``."""

    def _of(self, values: Tensor, label: Tensor | None) -> Tensor:
        return values[0] if label is None else values[label][:, None]


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
        size: Size of a block k.
        back: Whether there is a second rotation.
    """

    turn: Tensor
    turn_back: Tensor

    def __init__(self, labels: int, size: int, back: bool) -> None:
        super().__init__(labels, size)
        self.back = back
        self.register_buffer("turn", torch.eye(size).repeat(labels, 1, 1))
        if back:
            self.register_buffer("turn_back", torch.eye(size).repeat(labels, 1, 1))

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
        whole = self.scale[:, :, None] * self.turn
        return self.turn_back @ whole if self.back else whole
