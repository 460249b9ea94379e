r"""Distances between two sets of rows. What is costly is computed once, then any rows left out.

Each function takes two sets of rows and returns ``evaluate(i, j)``: the statistics, by name, of
the rows ``a[i]`` and ``b[j]``. So a jackknife costs index operations, not new distance matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = [
    "Evaluate",
    "Statistic",
    "energy_distance",
    "exact_w2",
    "frechet",
    "mmd",
    "sliced_w2",
]

Evaluate: TypeAlias = Callable[[Tensor, Tensor], dict[str, float]]
Statistic: TypeAlias = Callable[[Tensor, Tensor], Evaluate]


def energy_distance(a: Tensor, b: Tensor) -> Evaluate:
    r"""Prepare the energy distance ``2 E|A - B| - E|A - A'| - E|B - B'|``.

    Unbiased (no row is its own partner), so it may be a little negative when the laws agree.

    References:
        Szekely and Rizzo (2013), Energy statistics.
    """
    between, within_a, within_b = torch.cdist(a, b), torch.cdist(a, a), torch.cdist(b, b)

    def evaluate(i: Tensor, j: Tensor) -> dict[str, float]:
        cross = between[i][:, j].mean()
        distance = 2 * cross - _off_diagonal(within_a, i) - _off_diagonal(within_b, j)
        return {"energy_distance": float(distance)}

    return evaluate


def mmd(a: Tensor, b: Tensor) -> Evaluate:
    r"""Prepare the squared maximum mean discrepancy, unbiased, of a mixture of Gaussian kernels.

    Bandwidths are 1/2, 1 and 2 times the median distance within ``b``.

    References:
        Gretton et al. (2012), JMLR 13, eq. 3.
    """
    squares = [torch.cdist(p, q).square() for p, q in ((a, b), (a, a), (b, b))]
    off = ~torch.eye(b.shape[0], dtype=torch.bool, device=b.device)
    median = squares[2][off].median().clamp_min(torch.finfo(b.dtype).tiny)
    scales = torch.tensor([0.5, 1.0, 2.0], dtype=b.dtype, device=b.device)[:, None, None]
    between, within_a, within_b = (
        torch.exp(-s / (2 * median * scales**2)).mean(0) for s in squares
    )

    def evaluate(i: Tensor, j: Tensor) -> dict[str, float]:
        cross = between[i][:, j].mean()
        squared = _off_diagonal(within_a, i) + _off_diagonal(within_b, j) - 2 * cross
        return {"mmd": float(squared)}

    return evaluate


def sliced_w2(directions: Tensor) -> Statistic:
    r"""Return the sliced W2 along unit directions ``count dim``: root of the mean squared W2.

    Equally many rows of both sets are used; the statistic has a positive bias of the order of
    ``1 / sqrt(rows)``, which its noise floor shares.
    """

    def prepare(a: Tensor, b: Tensor) -> Evaluate:
        shadow_a, shadow_b = a @ directions.T, b @ directions.T

        def evaluate(i: Tensor, j: Tensor) -> dict[str, float]:
            i, j = _same_length(i, j)
            gap = shadow_a[i].sort(0).values - shadow_b[j].sort(0).values
            return {"sliced_w2": float(gap.square().mean().sqrt())}

        return evaluate

    return prepare


def exact_w2(a: Tensor, b: Tensor) -> Evaluate:
    """Prepare the exact 2-Wasserstein distance of the empirical laws, by optimal assignment.

    Cubic in the rows: some thousands at most. Its bias is of the order ``rows**(-1/dim)``; compare
    with the noise floor only.
    """
    from scipy.optimize import linear_sum_assignment

    cost = torch.cdist(a, b).square()

    def evaluate(i: Tensor, j: Tensor) -> dict[str, float]:
        i, j = _same_length(i, j)
        part = cost[i][:, j].cpu().numpy()
        rows, columns = linear_sum_assignment(part)
        return {"w2": float(part[rows, columns].mean() ** 0.5)}

    return evaluate


def frechet(features: Callable[[Tensor], Tensor]) -> Statistic:
    r"""Return the Frechet distance of the features' Gaussian approximations.

    .. math:: |m_a - m_b|^2 + \mathrm{tr}(S_a + S_b - 2 (S_a S_b)^{1/2})
    """

    def prepare(a: Tensor, b: Tensor) -> Evaluate:
        f_a, f_b = features(a).double(), features(b).double()

        def evaluate(i: Tensor, j: Tensor) -> dict[str, float]:
            mean_a, mean_b = f_a[i].mean(0), f_b[j].mean(0)
            # tr (S_a S_b)^(1/2) is the sum of singular values of A_c B_c^T, scaled: no square
            # roots of matrices, and exact for singular covariances.
            left = (f_a[i] - mean_a) / i.numel() ** 0.5
            right = (f_b[j] - mean_b) / j.numel() ** 0.5
            root_a, root_b = (torch.linalg.qr(x, mode="r").R for x in (left, right))
            fidelity = torch.linalg.svdvals(root_a @ root_b.T).sum()
            spread = left.square().sum() + right.square().sum() - 2 * fidelity
            return {"frechet": float((mean_a - mean_b).square().sum() + spread)}

        return evaluate

    return prepare


def _off_diagonal(matrix: Tensor, index: Tensor) -> Tensor:
    """Return the mean over pairs of different rows."""
    part = matrix[index][:, index]
    return (part.sum() - part.diagonal().sum()) / (part.numel() - part.shape[0])


def _same_length(i: Tensor, j: Tensor) -> tuple[Tensor, Tensor]:
    rows = min(i.numel(), j.numel())
    return i[:rows], j[:rows]
