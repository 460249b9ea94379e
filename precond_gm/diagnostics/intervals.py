r"""Interval of the condition number that holds with few rows, equal eigenvalues and heavy tails.

Sample eigenvalues are biased outwards: the largest too large, the smallest too small. So the two
ends are taken from two estimates that are biased in opposite directions.

* The variance, on one half of the rows, along a direction chosen on the other half, is at most the
  largest eigenvalue (at least the smallest) in expectation, whatever the direction: it bounds the
  condition number from below, and gives the lower end.
* The sample's own eigenvalues bound it from above, and give the upper end.

Both ends are moved outwards by the standard error of ``log kappa`` along the chosen directions.
The width is therefore the sampling error plus the bias itself; nothing about the law is assumed
but fourth moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.diagnostics.end_moments import EndMoments, Halves, keyed
from precond_gm.diagnostics.ends import Ends
from precond_gm.numerics.covariance import EndCovariance
from precond_gm.numerics.spectrum import extreme_directions
from precond_gm.numerics.statistics import normal_quantile
from precond_gm.values import Coefficients

__all__ = ["POOLED", "Spread", "condition_spread"]

POOLED = -2  # key of all rows together, beside the labels
_QUANTILE = normal_quantile(0.975)


@dataclass(frozen=True)
class Spread:
    """What rows say about the condition number along directions that they did not choose.

    Attributes:
        log_condition: Cross-fitted ``log kappa``, shape ``times``.
        error: Its standard error.
    """

    log_condition: Tensor
    error: Tensor

    def interval(self, condition_number: Tensor) -> tuple[Tensor, Tensor]:
        """Return the ends of the 95 % interval around the sample's own condition number."""
        low = (self.log_condition - _QUANTILE * self.error).exp().clamp_min(1.0)
        high = condition_number * (_QUANTILE * self.error).exp()
        return torch.minimum(low, condition_number), high


def condition_spread(ends: Ends, moments: EndMoments, c: Coefficients) -> dict[int, Spread]:
    """Read the rows once more and judge each half's extreme directions on the other half.

    Args:
        ends: The stream that the moments were gathered from.
        moments: Its moments.
        c: The path's coefficients at the times of interest.

    Returns:
        One per label with two rows in each half, and one for all rows under ``POOLED``.
    """
    halves = {POOLED: moments.pooled, **moments.halves}
    groups = {
        label: _Group(moments, pair, c)
        for label, pair in halves.items()
        if min(pair[0].count, pair[1].count) > 1
    }
    for name, rows, weight in keyed(ends, is_joint=ends.is_paired):
        part = rows.to(torch.float64)
        share = None if weight is None else weight.to(part)
        for label in (name // 2, POOLED):
            if label in groups:
                groups[label].add(part, share, half=name % 2)
    return {label: group.spread() for label, group in groups.items()}


class _Group:
    """Directions chosen on either half of a group, and what the other half shows along them.

    Where one eigendecomposition serves every t so does one pair of directions, that of the data.
    The variance at t is ``base + slope * q``, q the mean square of the rows' projections.
    """

    def __init__(self, moments: EndMoments, halves: Halves, c: Coefficients) -> None:
        self.is_joint = moments.is_joint
        self.c = c
        covariances = [moments.covariance(half) for half in halves]
        self.directions = [_directions(covariance, c) for covariance in covariances]
        self.base = sum(
            _known(covariance, v, c)
            for covariance, v in zip(covariances, self.directions, strict=True)
        ) / torch.tensor(2.0, dtype=torch.float64)
        first, second = halves
        share = second.count / (first.count + second.count)
        self.mean = torch.lerp(first.mean, second.mean, share)
        self.count = 0
        shape = self.directions[0].shape[:-1]
        self.total = self.mean.new_zeros(shape)
        self.products = self.mean.new_zeros(*shape, 2)

    def add(self, rows: Tensor, weight: Tensor | None, *, half: int) -> None:
        """Project rows of one half on the directions of the other."""
        v = self.directions[1 - half]
        along = self._project(rows, v) - self._project(self.mean[None], v)
        squares = along.square() if weight is None else weight[:, None, None] * along.square()
        self.count += rows.shape[0]
        self.total += squares.sum(0)
        self.products += torch.einsum("ntj,ntk->tjk", squares, squares)

    def _project(self, rows: Tensor, v: Tensor) -> Tensor:
        """Return the rows along each direction, shape ``batch times 2``."""
        if not self.is_joint:
            return torch.einsum("nd,tkd->ntk", rows, v)
        z0, z1 = (torch.einsum("nd,tkd->ntk", end, v) for end in rows.chunk(2, 1))
        return self.c.alpha[:, None] * z0 + self.c.beta[:, None] * z1

    def spread(self) -> Spread:
        """Return the cross-fitted logarithm and its standard error by the delta method."""
        mean = self.total / self.count
        cov = self.products / self.count - mean[:, :, None] * mean[:, None, :]
        slope = torch.ones_like(self.c.beta) if self.is_joint else self.c.beta.square()
        variance = self.base + slope[:, None] * mean
        sign = torch.tensor([1.0, -1.0], dtype=mean.dtype, device=mean.device)
        gradient = slope[:, None] / variance * sign
        error = torch.einsum("tj,tjk,tk->t", gradient, cov.expand(len(slope), 2, 2), gradient)
        # The error of one half: where eigenvalues are close, both halves' directions coincide by
        # chance exactly when both estimates are high, so averaging them does not help.
        error = (error.clamp_min(0) / (self.count / 2)).sqrt()
        log_condition = (variance[:, 0] / variance[:, 1]).log()
        return Spread(log_condition.cpu(), error.nan_to_num(0.0).cpu())


def _directions(covariance: EndCovariance, c: Coefficients) -> Tensor:
    """Return extreme directions, shape ``times 2 dim``, or ``1 2 dim`` where one pair serves."""
    if covariance.commutes:
        return extreme_directions(covariance.data)[None]
    return torch.cat([extreme_directions(covariance.at(part)) for part in covariance.blocks(c)])


def _known(covariance: EndCovariance, v: Tensor, c: Coefficients) -> Tensor:
    """Return the part of the variance along v that is not estimated from the rows."""
    known = c.variance[:, None]
    if covariance.cross is not None:
        return known
    if covariance.source is None:
        return known + c.alpha.square()[:, None]
    return known + c.alpha.square()[:, None] * torch.einsum(
        "tkd,de,tke->tk", v, covariance.source, v
    )
