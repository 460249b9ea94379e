"""The operator of diagonal-plus-low-rank maps."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.preconditioners.operators import AbstractOperator, apply_per_label

__all__ = ["Leading"]


class Leading(AbstractOperator):
    r"""``z = scale (I + V^T C V) (x - mean)`` with few orthonormal rows V and ``C = stretch - 1``.

    The inverse is Woodbury's, ``(I + V^T C V)^{-1} = I - V^T C (I + V V^T C)^{-1} V``, with the
    product ``V V^T`` of the rows as they are stored: rounded, they are orthonormal to 1e-7 only,
    and a stretch of 1e-3 would make that a thousand times more. For the same reason sums over the
    features run in float64.

    Args:
        labels: Number of labels L.
        size: Number of features.
        rank: Number of directions.
    """

    turn: Tensor
    stretch: Tensor
    undo: Tensor

    def __init__(self, labels: int, size: int, rank: int) -> None:
        super().__init__(labels, 1, size, 1)
        self.register_buffer("turn", torch.zeros(labels, 1, rank, size))
        self.register_buffer("stretch", torch.ones(labels, 1, rank))
        self.register_buffer("undo", torch.zeros(labels, 1, rank, rank))

    @staticmethod
    def factors(turn: Tensor, stretch: Tensor) -> dict[str, Tensor]:
        """Return the buffers for directions ``L rank size`` and stretches ``L rank``."""
        rows = turn.to(torch.float64)
        core = torch.diag_embed(stretch.to(torch.float64) - 1)
        identity = torch.eye(core.shape[-1], dtype=core.dtype, device=core.device)
        undo = -core @ torch.linalg.inv(identity + rows @ rows.mT @ core)
        return {"turn": turn[:, None], "stretch": stretch[:, None], "undo": undo[:, None]}

    def forward(self, rows: Tensor, label: Tensor | None) -> Tensor:
        """Apply the map of each row's label."""
        centred = rows - self._of(self.mean, label)
        along = self._along(centred, label) * (self._of(self.stretch, label) - 1).double()
        return self._back(centred, along, label) * self._of(self.scale, label)

    def inverse(self, rows: Tensor, label: Tensor | None) -> Tensor:
        """Undo the map of each row's label."""
        rows = rows / self._of(self.scale, label)
        along = apply_per_label(self._along(rows, label), label, self.undo.double())
        return self._back(rows, along, label) + self._of(self.mean, label)

    def log_abs_det(self, label: Tensor | None, like: Tensor) -> Tensor:
        """Return ``log |det|`` of each row's map."""
        more = self.stretch.log().sum((1, 2))
        extra = more[0].expand(like.shape[0]) if label is None else more[label]
        return super().log_abs_det(label, like) + extra

    def matrices(self) -> Tensor:
        """Return the matrices multiplied out."""
        core = self.turn.mT @ ((self.stretch - 1)[..., None] * self.turn)
        return torch.diag_embed(self.scale) @ (core + torch.eye(core.shape[-1]).to(core))

    def _along(self, rows: Tensor, label: Tensor | None) -> Tensor:
        return apply_per_label(rows.double(), label, self.turn.double())

    def _back(self, rows: Tensor, along: Tensor, label: Tensor | None) -> Tensor:
        return (rows + apply_per_label(along, label, self.turn.mT.double())).to(rows.dtype)
