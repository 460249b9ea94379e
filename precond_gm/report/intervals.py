"""Means and paired differences over seeds, with Student's intervals."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from precond_gm.numerics.statistics import student_quantile

__all__ = ["Finding", "Interval", "compare", "summarise"]

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its interval.

    Attributes:
        mean: Over seeds.
        low, high: Ends of the 95 % interval; both None with fewer than two seeds.
        count: Number of seeds.
    """

    mean: float
    low: float | None
    high: float | None
    count: int


class Finding(enum.Enum):
    """What the seeds allow one to say about a difference."""

    BETTER = "better"
    WORSE = "worse"
    OPEN = "no difference shown"


def summarise(values: Sequence[float]) -> Interval:
    """Return mean and Student's 95 % interval.

    Example:
        >>> found = summarise([1.0, 2.0, 3.0])
        >>> round(found.mean, 2), round(found.low, 2), round(found.high, 2)
        (2.0, -0.48, 4.48)
    """
    count = len(values)
    mean = sum(values) / count
    if count < 2 or not math.isfinite(mean):
        return Interval(mean, None, None, count)
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    reach = student_quantile((1 + LEVEL) / 2, count - 1) * math.sqrt(variance / count)
    return Interval(mean, mean - reach, mean + reach, count)


def compare(
    values: Sequence[float], baseline: Sequence[float], *, as_ratio: bool
) -> tuple[Interval, Finding]:
    """Compare a variant with the baseline, seed by seed; smaller values are better.

    Pairs share the seed, so initial weights, batches, noise and times are the same on both sides.

    Args:
        values: Of the variant, by seed.
        baseline: Of the baseline, by the same seeds.
        as_ratio: Whether the ratio is compared (on the log scale) or the difference.

    Returns:
        The mean ratio or difference with its interval, and the finding.

    Example:
        >>> compare([1.0, 1.1], [3.0, 3.1], as_ratio=True)[1]
        <Finding.BETTER: 'better'>
    """
    ratio = as_ratio and min(*values, *baseline) > 0
    if ratio:
        found = summarise([math.log(a / b) for a, b in zip(values, baseline, strict=True)])
    else:
        found = summarise([a - b for a, b in zip(values, baseline, strict=True)])
    finding = Finding.OPEN
    if found.low is not None and found.high is not None:
        if found.high < 0:
            finding = Finding.BETTER
        elif found.low > 0:
            finding = Finding.WORSE
    if not ratio:
        return found, finding
    low = None if found.low is None else _exp(found.low)
    high = None if found.high is None else _exp(found.high)
    return Interval(_exp(found.mean), low, high, found.count), finding


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))
