"""Measures of coupled pairs: cost, use and tilt of rows, skew of noise within labels, curvature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from precond_gm.numerics.rows import flatten
from precond_gm.values import Pairing

__all__ = [
    "Skew",
    "Tilt",
    "effective_share",
    "least_cost",
    "mean_cost",
    "path_curvature",
    "share_used",
    "skew_of",
    "tilt_of",
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
    r"""Compare the moments of each label's noise with their laws under N(0, I).

    Of n rows with mean m and second moment S about zero, three values are chi-squared:

    .. math::
        n |m|^2 \sim \chi^2_d, \qquad n \operatorname{tr} S \sim \chi^2_{nd}, \qquad
        \sum_{i > j} L_{ij}^2 + \sum_i \mathrm{score}(L_{ii}^2)^2 \sim \chi^2_{d(d+1)/2},
        \quad n S = L L^T

    The first sees a label that moves its noise, the second one that takes its noise from near or
    from afar (a dot inside a ring, say), the third one that turns or squeezes it; the third needs
    more rows than it has degrees of freedom. The squared entries of L are independent, with n,
    n - 1, ... degrees on the diagonal and one below it. The least likely of the three counts, at
    the chance that any of three would be so unlikely, so the result is standard normal for noise
    that nobody chose. A noise row that occurs more than once is one draw with more weight.

    References:
        Bartlett (1933), the factor of a Wishart matrix; Sidak (1967), the least of three.

    Example:
        >>> noise = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
        >>> near = noise.norm(dim=1) < noise.norm(dim=1).median()
        >>> [skew_of(Pairing(noise, noise, y.long())).overall > 5 for y in (near, noise[:, 0] > 9)]
        [True, False]
    """
    if pairing.label is None:
        return Skew({}, 0.0)
    noise, weight = flatten(pairing.z0).double(), pairing.weight
    evidence: dict[int, list[_ChiSquared]] = {}
    for name in sorted(set(pairing.label.tolist())):
        mine = pairing.label == name
        w = torch.ones_like(noise[mine, 0]) if weight is None else weight[mine].double()
        if float(w.sum()) > 0:
            evidence[int(name)] = _evidence(noise[mine].cpu(), w.cpu())
    together = [sum(values, _ChiSquared()) for values in zip(*evidence.values(), strict=True)]
    return Skew({name: _joint_score(v) for name, v in evidence.items()}, _joint_score(together))


@dataclass(frozen=True)
class _ChiSquared:
    """A chi-squared value and its degrees of freedom."""

    value: float = 0.0
    dof: float = 0.0

    def __add__(self, other: _ChiSquared) -> _ChiSquared:
        return _ChiSquared(self.value + other.value, self.dof + other.dof)

    @property
    def score(self) -> float:
        """Return the standard normal quantile (Wilson and Hilferty, 1931)."""
        spread = 2 / (9 * self.dof)
        return (math.cbrt(self.value / self.dof) - (1 - spread)) / math.sqrt(spread)


def _evidence(noise: Tensor, weight: Tensor) -> list[_ChiSquared]:
    """Return the evidence of mean, size and shape against N(0, I), on the CPU."""
    share, dim = weight / weight.sum(), noise.shape[1]
    mean, second = share @ noise, (share[:, None] * noise).T @ noise
    weight = _weight_of_distinct(noise, weight)
    rows = float(weight.sum() ** 2 / weight.square().sum())
    size = _ChiSquared(rows * float(second.trace()), rows * dim).score
    found = [_ChiSquared(rows * float(mean.square().sum()), dim), _ChiSquared(size**2, 1)]
    degrees = dim * (dim + 1) // 2
    if dim == 1 or rows < degrees:
        return [*found, _ChiSquared()]
    least = 1e-12 * float(second.trace()) + 1e-200  # rows that are all the same have a factor too
    factor = torch.linalg.cholesky(rows * (second + least * torch.eye(dim, dtype=second.dtype)))
    diagonal = factor.diagonal().square().tolist()
    scores = [_ChiSquared(value, rows - i).score for i, value in enumerate(diagonal)]
    shape = float(factor.tril(-1).square().sum()) + sum(score**2 for score in scores)
    return [*found, _ChiSquared(shape, degrees)]


def _weight_of_distinct(rows: Tensor, weight: Tensor) -> Tensor:
    """Add up the weights of equal rows."""
    inverse = np.unique(rows.numpy(), axis=0, return_inverse=True)[1].reshape(-1)
    return torch.from_numpy(np.bincount(inverse, weights=weight.numpy()))


def _joint_score(evidence: Sequence[_ChiSquared]) -> float:
    """Return the standard normal quantile of the least likely value among several."""
    from scipy.special import log_ndtr, ndtri_exp

    scores = [one.score for one in evidence if one.dof]
    if not scores:
        return 0.0
    log_chance = min(float(log_ndtr(-max(scores))), -1e-16)
    if log_chance > -20:  # below, one less a number this small is one
        log_chance = math.log(-math.expm1(len(scores) * math.log1p(-math.exp(log_chance))))
    else:
        log_chance += math.log(len(scores))
    return -float(ndtri_exp(log_chance))


@dataclass(frozen=True)
class Tilt:
    """How one end of the pairs differs from the rows that were drawn.

    Attributes:
        shift: Distance of the means, in standard deviations of the rows drawn.
        spread: Variance over that of the rows drawn.
    """

    shift: float
    spread: float


def tilt_of(after: Tensor, before: Tensor, weight: Tensor | None) -> Tilt:
    """Compare the mean and the total variance of rows, weighted where there are weights."""
    rows, given = flatten(after).double(), flatten(before).double()
    share = torch.ones_like(rows[:, 0]) if weight is None else weight.double()
    share = share / share.sum()
    mean, variance = given.mean(0), float(given.var(0, correction=0).sum())
    if variance == 0:
        return Tilt(0.0, 1.0)
    centre = share @ rows
    spread = float(share @ (rows - centre).square().sum(1)) / variance
    return Tilt(float((centre - mean).norm()) / math.sqrt(variance), spread)


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
