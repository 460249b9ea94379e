"""Logarithm of symmetric positive definite matrices, with a derivative that stays finite.

The derivative of an eigendecomposition divides by gaps between eigenvalues and is NaN where two
coincide; that of the logarithm does not (Daleckii and Krein): in the eigenbasis it multiplies entry
ij by the divided difference ``(log w_i - log w_j) / (w_i - w_j)``, which is ``1 / w_i`` at a tie.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["matrix_log"]


class _Log(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        ctx.save_for_backward(values, vectors)
        return vectors @ torch.diag_embed(values.log()) @ vectors.mT

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        values, vectors = ctx.saved_tensors
        slopes = _divided_differences(values)
        inner = vectors.mT @ grads[0] @ vectors
        return vectors @ (slopes * inner) @ vectors.mT


def matrix_log(matrix: Tensor) -> Tensor:
    """Return the logarithm of symmetric positive definite matrices in the last two axes.

    Example:
        >>> import torch
        >>> matrix_log(torch.eye(2)).abs().max()
        tensor(0.)
    """
    return _Log.apply(matrix)  # type: ignore[no-untyped-call]


def _divided_differences(values: Tensor) -> Tensor:
    """Return ``(log u - log w) / (u - w)`` for all pairs, by log1p where u and w are close."""
    u, w = values[..., :, None], values[..., None, :]
    gap = (u - w) / w
    near = gap.abs() < 1e-4  # here the series is exact to 1e-13
    safe = torch.where(near, torch.ones_like(gap), gap)
    series = 1 - gap / 2 + gap.square() / 3
    return torch.where(near, series, torch.log1p(safe) / safe) / w
