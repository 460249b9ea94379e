r"""Uncertainty by leaving out groups of rows: one mechanism for every quantity of the study.

All step sizes share their noise, so their errors are strongly dependent, and some quantities (a
slope, W2, a divergence) are no means. The jackknife over groups of rows carries through any
smooth function and keeps the dependence: a replicate leaves the same rows out of every step size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["GROUPS", "Replicates", "Slope", "controlled_mean", "fit_slope", "group_sums"]

GROUPS = 32  # the t quantile is then 2.04, and a group of 128 rows still has smooth moments
_LARGEST_RELATIVE_ERROR = 0.25  # of a point that a slope may rest on: log is then nearly linear
_LEAST_POINTS = 3


@dataclass(frozen=True)
class Replicates:
    """An estimate, and what it becomes without each group of rows.

    Attributes:
        value: Estimate from all rows, any shape.
        left_out: Estimates without one group, shape ``groups *shape``.

    Example:
        >>> import torch
        >>> rows = torch.tensor([[1.0], [2.0], [3.0]])
        >>> mean = Replicates(rows.mean(0), (rows.sum(0) - rows) / 2)
        >>> round(float(mean.standard_error[0]), 4)  # sqrt(variance / 3) = sqrt(1 / 3)
        0.5774
    """

    value: Tensor
    left_out: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> Replicates:
        """Return a smooth function of the estimate; the function keeps leading axes."""
        return Replicates(function(self.value), function(self.left_out))

    @property
    def standard_error(self) -> Tensor:
        """Jackknife standard error."""
        groups = self.left_out.shape[0]
        gap = self.left_out - self.left_out.mean(0)
        return (gap.square().sum(0) * ((groups - 1) / groups)).sqrt()

    def debiased(self) -> Replicates:
        """Remove the bias of order one over rows, which a quadratic function of a mean has."""
        groups = self.left_out.shape[0]
        shift = (groups - 1) * (self.value - self.left_out.mean(0))
        return Replicates(self.value + shift, self.left_out + shift)

    @property
    def quantile(self) -> float:
        """Factor of the standard error in a two-sided 95 % interval."""
        from scipy.special import stdtrit

        return float(stdtrit(self.left_out.shape[0] - 1, 0.975))


@dataclass(frozen=True)
class Slope:
    """Slope of log(quantity) against log(h), with its 95 % interval.

    Attributes:
        value: The slope; NaN where there are too few usable points.
        low: Lower end of the interval.
        high: Upper end.
        num_points: Step sizes that were used.
        reason: Why there is no slope, or which step sizes were left out; empty otherwise.
    """

    value: float
    low: float
    high: float
    num_points: int
    reason: str = ""

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        if math.isnan(self.value):
            return f"none ({self.reason})"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def fit_slope(h: Tensor, quantity: Replicates) -> Slope:
    """Fit log(quantity) against log(h) on the step sizes that the samples resolve.

    Args:
        h: Step sizes, shape ``steps``.
        quantity: Estimates, shape ``steps``.
    """
    value, error = quantity.value, quantity.standard_error
    usable = torch.isfinite(value) & (value > 0) & (quantity.left_out > 0).all(0)
    usable &= error < _LARGEST_RELATIVE_ERROR * value
    count, left = int(usable.sum()), int((~usable).sum())
    if count < _LEAST_POINTS or len(set(h[usable].tolist())) < _LEAST_POINTS:
        return Slope(
            math.nan,
            math.nan,
            math.nan,
            count,
            f"{count} of {value.shape[0]} step sizes are known to {_LARGEST_RELATIVE_ERROR:.0%}, "
            f"and a slope takes {_LEAST_POINTS}: raise num_samples or give more step sizes",
        )
    x = h[usable].log()
    x = x - x.mean()
    fitted = quantity.map(lambda v: (v[..., usable].log() * x).sum(-1) / x.square().sum())
    slope, half = float(fitted.value), fitted.quantile * float(fitted.standard_error)
    reason = f"{left} step sizes within the noise were left out" if left else ""
    return Slope(slope, slope - half, slope + half, count, reason)


def group_sums(rows: Tensor, groups: int = GROUPS) -> tuple[Tensor, Tensor]:
    """Sum rows within groups: row i belongs to group ``i mod groups``.

    Returns:
        Sums, shape ``groups *rest``, float64, and the number of rows of each group.
    """
    rows = rows.to(torch.float64)
    group = torch.arange(rows.shape[0], device=rows.device) % groups
    sums = rows.new_zeros(groups, *rows.shape[1:]).index_add_(0, group, rows)
    return sums.cpu(), torch.bincount(group, minlength=groups).to(sums).cpu()


def controlled_mean(value: Tensor, control: Tensor | None = None) -> Replicates:
    r"""Estimate a mean known on few rows with the help of a cheap companion known on all.

    .. math::
        \bar A_m + \beta (\bar C_n - \bar C_m), \qquad \beta = \mathrm{Cov}(A, C) / \mathrm{Var}(C)

    What the companion explains is averaged over all n rows, the rest over m. Its own bias is of no
    consequence. With m = n this is the plain mean.

    Args:
        value: ``A`` on the first m rows, shape ``m steps``.
        control: ``C`` on all n rows, shape ``n steps``, or None.
    """
    few, everything = group_sums(value), None
    if control is None or control.shape[0] == value.shape[0]:
        total, count = few
        return Replicates(total.sum(0) / count.sum(), (total.sum(0) - total) / _rest(count, total))
    c = control[: value.shape[0]].to(torch.float64)
    a = value.to(torch.float64)
    products = group_sums(torch.stack((a, c, a * c, c * c), 1))
    everything = group_sums(control)

    def estimate(sums: Tensor, m: Tensor, total: Tensor, n: Tensor) -> Tensor:
        a1, c1, ac, cc = (sums / m).unbind(-2)
        variance = (cc - c1 * c1).clamp_min(0)
        beta = torch.where(variance > 0, (ac - a1 * c1) / variance, torch.zeros_like(a1))
        return a1 + beta * (total / n - c1)

    (s, m), (t, n) = products, everything
    return Replicates(
        estimate(s.sum(0), m.sum(), t.sum(0), n.sum()),
        estimate(s.sum(0) - s, _rest(m, s), t.sum(0) - t, _rest(n, t)),
    )


def _rest(count: Tensor, like: Tensor) -> Tensor:
    """Return the number of rows outside each group, ready to divide ``like``."""
    rest = count.sum() - count
    return rest.reshape(-1, *[1] * (like.ndim - 1))
