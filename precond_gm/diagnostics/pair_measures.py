"""Measures of coupled pairs: cost, use of rows, skew of the noise within labels, curvature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from precond_gm.numerics.rows import flatten
from precond_gm.values import Pairing

__all__ = [
    "Skew",
    "effective_share",
    "least_cost",
    "mean_cost",
    "path_curvature",
    "share_used",
    "skew_of",
]


def mean_cost(z0: Tensor, z1: Tensor, weight: Tensor | None) -> float:
    """Return the mean squared distance of pairs, weighted where there are weights."""
    per_pair = (flatten(z0).double() - flatten(z1).double()).square().sum(1)
    return float((per_pair if weight is None else per_pair * weight.double()).mean())


def least_cost(z0: Tensor, z1: Tensor, label: Tensor | None) -> float:
    """Return the least mean squared distance of any permutation, within labels if given."""
    from scipy.optimize import linear_sum_assignment

    rows0, rows1 = flatten(z0).double().cpu(), flatten(z1).double().cpu()
    groups = torch.zeros(len(rows1), dtype=torch.long) if label is None else label.cpu()
    total = 0.0
    for group in sorted(set(groups.tolist())):
        mine0, mine1 = rows0[groups == group], rows1[groups == group]
        order = linear_sum_assignment((-mine1 @ mine0.T).numpy())[1]
        total += float((mine0[torch.from_numpy(order)] - mine1).square().sum())
    return total / len(rows1)


def share_used(after: Tensor, before: Tensor) -> float:
    """Return the number of distinct rows among the pairs over that among the rows drawn."""
    return len(_distinct(after)) / len(_distinct(before))


def _distinct(rows: Tensor) -> set[bytes]:
    return {row.tobytes() for row in flatten(rows).double().cpu().numpy()}


@dataclass(frozen=True)
class Skew:
    """How far noise within labels is from N(0, I), in standard deviations.

    Attributes:
        by_label: Of each label's noise alone.
        overall: Of all labels together; small batches show a skew here first.
    """

    by_label: dict[int, float]
    overall: float


def skew_of(pairing: Pairing) -> Skew:
    """Compare ``n |mean|^2`` of each label's noise with its law under N(0, I), chi-squared.

    A noise row that occurs more than once is one draw with more weight.
    """
    squares: dict[int, float] = {}
    if pairing.label is None:
        return Skew({}, 0.0)
    noise, weight = flatten(pairing.z0).double(), pairing.weight
    for name in sorted(set(pairing.label.tolist())):
        mine = pairing.label == name
        w = torch.ones_like(noise[mine, 0]) if weight is None else weight[mine].double()
        if float(w.sum()) == 0:
            continue
        mean = (w[:, None] * noise[mine]).sum(0) / w.sum()
        w = _weight_of_distinct(noise[mine], w)
        rows = float(w.sum() ** 2 / w.square().sum())
        squares[int(name)] = rows * float(mean.square().sum())
    dim = noise.shape[1]
    by_label = {name: _normal_score(square, dim) for name, square in squares.items()}
    return Skew(by_label, _normal_score(sum(squares.values()), dim * len(squares)))


def _weight_of_distinct(rows: Tensor, weight: Tensor) -> Tensor:
    """Add up the weights of equal rows."""
    inverse = np.unique(rows.cpu().numpy(), axis=0, return_inverse=True)[1].reshape(-1)
    return torch.from_numpy(np.bincount(inverse, weights=weight.cpu().numpy()))


def _normal_score(chi_squared: float, dim: int) -> float:
    """Return the standard normal quantile of a chi-squared value (Wilson and Hilferty, 1931)."""
    spread = 2 / (9 * dim)
    return (math.cbrt(chi_squared / dim) - (1 - spread)) / math.sqrt(spread)


def effective_share(weight: Tensor) -> float:
    """Return the effective number of weighted rows over their number."""
    weight = weight.double()
    return float(weight.sum() ** 2 / weight.square().sum()) / weight.shape[0]


def path_curvature(trajectory: Tensor) -> float:
    r"""Return how far paths are from straight lines walked at constant speed: 0 for those.

    .. math::
        \frac{\mathrm{E} \int_0^1 \| \dot z_t - (z_1 - z_0) \|^2 dt}{\mathrm{E} \| z_1 - z_0 \|^2}

    Args:
        trajectory: States on a uniform grid of times, shape ``times batch *event``.

    References:
        2209.03003, eq. 6 (straightness).
    """
    states = trajectory.flatten(2).to(torch.float64)
    chord = states[-1] - states[0]
    velocity = (states[1:] - states[:-1]) * (states.shape[0] - 1)
    return float((velocity - chord).square().sum(2).mean() / chord.square().sum(1).mean())
