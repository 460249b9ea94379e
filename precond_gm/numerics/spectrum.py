r"""What the eigenvalues of a covariance say: condition number, effective rank, sampling noise.

Eigenvalues are ascending along the last axis. ``multiplicity`` counts how often each occurs, so
that a spectrum of 196,608 directions of which 2,000 differ stays short.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "condition_number",
    "effective_rank",
    "eigenvalues",
    "extreme_directions",
    "noise_count",
    "participation_ratio",
    "without_rounding",
]


def eigenvalues(matrix: Tensor) -> Tensor:
    """Return the eigenvalues of symmetric positive matrices ``... dim dim``, ascending."""
    return without_rounding(torch.linalg.eigvalsh(matrix))


def without_rounding(values: Tensor) -> Tensor:
    """Set to zero what rounding alone produces: negative, or below ``dim * eps`` of the largest.

    A covariance has no negative eigenvalue; the smallest that float64 resolves beside the largest
    is about ``dim * eps`` of it, and anything below is an exact zero as far as can be known.
    """
    floor = values.shape[-1] * torch.finfo(values.dtype).eps * values[..., -1:].clamp_min(0)
    return torch.where(values > floor, values, torch.zeros_like(values))


def extreme_directions(matrix: Tensor, steps: int = 12) -> Tensor:
    """Return unit vectors near the eigenvectors of the largest and smallest eigenvalue.

    Power iteration, and inverse iteration through one Cholesky factor: a small part of the cost of
    an eigendecomposition. They need not have converged: the variance along *any* direction is a
    lower bound of the largest eigenvalue and an upper bound of the smallest. The matrix is brought
    to unit trace first, so that the directions do not depend on the unit of the data.

    Args:
        matrix: Symmetric positive matrices, shape ``... dim dim``.
        steps: Power iterations; a third as many inverse ones.

    Returns:
        Shape ``... 2 dim``, the direction of the largest eigenvalue first.
    """
    dim, info = matrix.shape[-1], torch.finfo(matrix.dtype)
    trace = matrix.diagonal(dim1=-2, dim2=-1).sum(-1)
    matrix = matrix / trace.clamp_min(info.tiny)[..., None, None]
    start = torch.randn(dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    largest = smallest = start.to(matrix).expand(*matrix.shape[:-1]).unsqueeze(-1)
    for _ in range(steps):
        largest = torch.nn.functional.normalize(matrix @ largest, dim=-2)
    top = (largest.mT @ matrix @ largest)[..., 0].clamp_min(info.tiny / info.eps)
    lift = 4 * dim * info.eps * top  # what rounding may have made negative
    lifted = matrix.clone()
    lifted.diagonal(dim1=-2, dim2=-1).add_(lift)
    root, _ = torch.linalg.cholesky_ex(lifted)
    for _ in range(max(1, steps // 3)):
        half_way = torch.linalg.solve_triangular(root, smallest, upper=False)
        smallest = torch.linalg.solve_triangular(root.mT, half_way, upper=True)
        smallest = torch.nn.functional.normalize(smallest, dim=-2)
    return torch.cat((largest, smallest), -1).mT


def condition_number(values: Tensor) -> Tensor:
    """Return largest over smallest eigenvalue; infinite where the smallest, or both, are zero."""
    smallest = values[..., 0]
    return torch.where(smallest == 0, float("inf"), values[..., -1] / smallest)


def effective_rank(values: Tensor, multiplicity: Tensor | None = None) -> Tensor:
    """Return ``exp`` of the entropy of the normalised spectrum, in [1, dim].

    References:
        Roy and Vetterli (2007), The effective rank.
    """
    count = torch.ones_like(values[..., :1]) if multiplicity is None else multiplicity
    share = values / (count * values).sum(-1, keepdim=True)
    return (-(count * torch.xlogy(share, share)).sum(-1)).exp()


def participation_ratio(values: Tensor, multiplicity: Tensor | None = None) -> Tensor:
    """Return ``trace**2`` over the sum of squared eigenvalues, in [1, dim]."""
    count = torch.ones_like(values[..., :1]) if multiplicity is None else multiplicity
    return (count * values).sum(-1).square() / (count * values.square()).sum(-1)


def noise_count(values: Tensor, num_rows: int) -> int:
    r"""Count the smallest eigenvalues whose spread is what sampling alone would give.

    Among ``m`` equal variances seen through ``n`` rows, the sample eigenvalues spread over
    ``(1 - r)**2 .. (1 + r)**2`` with ``r = sqrt(m / n)`` (Marchenko and Pastur). The answer is the
    largest ``m`` for which the ``m`` smallest sample eigenvalues spread no further: their order,
    their directions and the smallest ones' size then say nothing about the law. A single
    eigenvalue is no block, so the count is 0 where no two are that close.

    Args:
        values: Eigenvalues of one sample covariance, ascending, shape ``dim``.
        num_rows: Rows behind the covariance.

    References:
        Marchenko and Pastur (1967).
    """
    block = torch.arange(1, values.shape[0] + 1, dtype=values.dtype, device=values.device)
    ratio = (block / max(num_rows - 1, 1)).sqrt()
    spread = ((1 + ratio) / (1 - ratio).clamp_min(0)) ** 2  # infinite from m = n on
    inside = values <= values[0].clamp_min(0) * spread
    inside |= (block >= num_rows) | (values == 0)
    last = torch.nonzero(inside)
    count = int(last[-1]) + 1 if last.numel() else 0
    return count if count > 1 else 0
