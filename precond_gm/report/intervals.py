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


def summarise(values: Sequence[float], *, geometric: bool = False) -> Interval:
    """Return mean and Student's 95 % interval.

    Args:
        values: One per seed.
        geometric: Take the geometric mean, with the interval on the log scale; for positive
            values only, others get the plain mean.

    Example:
        >>> found = summarise([1.0, 2.0, 3.0])
        >>> round(found.mean, 2), round(found.low, 2), round(found.high, 2)
        (2.0, -0.48, 4.48)
    """
    if geometric and min(values) > 0:
        return _exponential(summarise([math.log(value) for value in values]))
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
    pairs = zip(values, baseline, strict=True)
    found = summarise([math.log(a / b) if ratio else a - b for a, b in pairs])
    finding = Finding.OPEN
    if found.low is not None and found.high is not None:
        if found.high < 0:
            finding = Finding.BETTER
        elif found.low > 0:
            finding = Finding.WORSE
    return _exponential(found) if ratio else found, finding


def _exponential(found: Interval) -> Interval:
    """Return from the log scale; an end that is too large for a float is cut."""
    low, high = (
        None if end is None else math.exp(min(end, 700.0)) for end in (found.low, found.high)
    )
    return Interval(math.exp(min(found.mean, 700.0)), low, high, found.count)
