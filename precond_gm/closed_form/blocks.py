"""Split symmetric problems into independent modes where they share their eigenvectors.

Then every matrix formula becomes one scalar formula per mode: exact in high dimension, and as cheap
as its diagonal. Otherwise there is a single block, the whole matrix, and the same code runs on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Blocks", "decouple"]

_GENERIC = (1.0, 0.6180339887, 0.4142135624, 0.2360679775)  # no simple relation between them
_OFF_DIAGONAL = 8.0  # times dim * eps: what the eigensolver itself leaves


@dataclass(frozen=True, eq=False)
class Blocks:
    """A rotation after which matrices are block diagonal, with equal blocks.

    Attributes:
        rotation: Orthogonal matrix ``dim dim``; its columns are the new coordinates.
        size: Side of a block: 1, or dim.
    """

    rotation: Tensor
    size: int

    def matrix(self, full: Tensor) -> Tensor:
        """Return the blocks ``count size size`` of a matrix ``dim dim``."""
        if self.size > 1:
            return full.unsqueeze(0)
        rotated = self.rotation.mT @ full @ self.rotation
        return rotated.diagonal().reshape(-1, 1, 1)

    def rows(self, x: Tensor) -> Tensor:
        """Return rows ``*batch dim`` as ``*batch count size``."""
        rotated = x if self.size > 1 else x @ self.rotation.to(x.dtype)
        return rotated.reshape(*x.shape[:-1], -1, self.size)

    def join_matrix(self, blocks: Tensor) -> Tensor:
        """Return the full matrices ``*batch dim dim`` of blocks ``*batch count size size``."""
        if self.size > 1:
            return blocks.squeeze(-3)
        values = blocks.reshape(*blocks.shape[:-3], 1, -1)
        return (self.rotation.to(blocks.dtype) * values) @ self.rotation.to(blocks.dtype).mT

    def join_rows(self, blocks: Tensor) -> Tensor:
        """Return rows ``*batch dim`` of ``*batch count size``."""
        flat = blocks.reshape(*blocks.shape[:-2], -1)
        return flat if self.size > 1 else flat @ self.rotation.to(blocks.dtype).mT


def decouple(*matrices: Tensor) -> Blocks:
    """Return the finest blocks, of size 1 or dim, that all ``matrices`` share.

    The eigenvectors of one generic combination diagonalise all of them, if anything does.
    """
    dim = matrices[0].shape[-1]
    whole = Blocks(torch.eye(dim, dtype=matrices[0].dtype, device=matrices[0].device), dim)
    if dim == 1:
        return whole
    sizes = [m.abs().amax().clamp_min(torch.finfo(m.dtype).tiny) for m in matrices]
    tolerance = _OFF_DIAGONAL * dim * torch.finfo(matrices[0].dtype).eps
    if any(
        float((m - m.mT).abs().amax() / s) > tolerance for m, s in zip(matrices, sizes, strict=True)
    ):
        return whole
    mixed = sum(w * m / s for w, m, s in zip(_GENERIC, matrices, sizes, strict=False))
    rotation = torch.linalg.eigh(mixed).eigenvectors
    for matrix, size in zip(matrices, sizes, strict=True):
        rotated = rotation.mT @ matrix @ rotation
        if float((rotated - torch.diag(rotated.diagonal())).abs().amax() / size) > tolerance:
            return whole
    return Blocks(rotation, 1)
