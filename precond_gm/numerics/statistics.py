"""Intervals: Student's quantiles, the delete-a-group jackknife, simultaneous bands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Estimate", "Simultaneous", "jackknife", "normal_quantile", "student_quantile"]


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; ``float()`` gives the number.

    Attributes:
        value: Point estimate.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    value: float
    low: float
    high: float

    def __float__(self) -> float:
        return self.value


def normal_quantile(probability: float) -> float:
    """Return the quantile of N(0, 1)."""
    return math.sqrt(2) * float(torch.erfinv(torch.tensor(2 * probability - 1).double()))


def student_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's law with ``freedom`` degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def jackknife(
    estimate: Callable[[int | None], Mapping[str, float]], groups: int, *, level: float = 0.95
) -> dict[str, Estimate]:
    r"""Return estimates, by name, with their delete-a-group jackknife intervals.

    With ``theta_g`` the estimate without group g, the standard error is
    ``sqrt((G - 1) / G * sum (theta_g - mean)**2)``, and Student's quantile with G - 1 degrees of
    freedom gives the interval. Unlike the bootstrap it repeats no row, which would break every
    statistic made of distances between rows.

    Args:
        estimate: Called with None for all rows and with g for all rows but group g; gives the
            same names each time.
        groups: Number of groups G, at least 2.
        level: Coverage.

    References:
        Kott (2001), The delete-a-group jackknife.

    Example:
        >>> import torch
        >>> rows = torch.arange(100.0) % 7
        >>> group = torch.arange(100) % 10
        >>> def mean(g):
        ...     return {"mean": float(rows[group != (-1 if g is None else g)].mean())}
        >>> found = jackknife(mean, 10)["mean"]
        >>> found.low < 3 < found.high
        True
    """
    factor = student_quantile((1 + level) / 2, groups - 1)
    left_out = [estimate(g) for g in range(groups)]
    found = {}
    for name, value in estimate(None).items():
        values = torch.tensor([part[name] for part in left_out], dtype=torch.float64)
        spread = (values - values.mean()).square().sum()
        reach = factor * float(((groups - 1) / groups * spread).sqrt())
        found[name] = Estimate(value, value - reach, value + reach)
    return found


class Simultaneous:
    r"""Bounds on many means at once, cell by cell, in blocks that need not fit in memory together.

    The multiplier bootstrap: the law of ``max_j sum_i g_i u_ij`` with g standard normal and u the
    centred values of each cell scaled to unit norm. It knows the correlation between cells, so its
    factor is far below Bonferroni's when cells move together.

    Args:
        rows: Rows behind every cell; the same rows, in the same order, in each block.
        draws: Draws of the maximum.
        generator: Source of the multipliers; None is a fixed seed.

    References:
        1212.6906 (Chernozhukov, Chetverikov and Kato), section 3.
    """

    def __init__(
        self, rows: int, *, draws: int = 500, generator: torch.Generator | None = None
    ) -> None:
        source = generator if generator is not None else torch.Generator().manual_seed(0)
        self._multipliers = torch.randn(
            draws, rows, generator=source, device=source.device, dtype=torch.float64
        )
        self._largest = torch.full((draws,), -math.inf, dtype=torch.float64, device=source.device)

    def add(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Take a block of values ``rows cells``; return each cell's mean and standard error."""
        values = values.to(torch.float64)
        mean = values.mean(0)
        centred = values - mean
        norm = centred.square().sum(0).sqrt()
        unit = centred / norm.clamp_min(torch.finfo(torch.float64).tiny)
        largest = (self._multipliers.to(unit.device) @ unit).amax(1)
        self._largest = torch.maximum(self._largest, largest.to(self._largest.device))
        return mean, norm / values.shape[0]

    def factor(self, level: float = 0.95) -> float:
        """Return the factor of the standard errors that makes all one-sided bounds hold."""
        return float(torch.quantile(self._largest, level))
