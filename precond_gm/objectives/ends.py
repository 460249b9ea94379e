"""How a positive function of t behaves next to 0 and 1: powers, bounds, integrability."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Ends", "behaviour", "interior"]

# Two points next to each end, where float64 still resolves 1 - t to ten digits.
NEAR, NEARER = 1e-4, 1e-6


@dataclass(frozen=True)
class Ends:
    """Powers p with ``f ~ t**p`` at 0 and ``f ~ (1 - t)**p`` at 1, and the largest value between.

    Attributes:
        at_zero: Power of t as t goes to 0.
        at_one: Power of 1 - t as t goes to 1.
        largest: Supremum over (0, 1); infinite if a power is negative.
    """

    at_zero: float
    at_one: float
    largest: float

    @property
    def is_bounded(self) -> bool:
        """Whether the supremum is finite."""
        return math.isfinite(self.largest)

    @property
    def is_integrable(self) -> bool:
        """Whether the integral over (0, 1) is finite."""
        return self.at_zero > -1 and self.at_one > -1


def interior(n: int = 1999) -> Tensor:
    """Return n midpoints of equal cells of (0, 1), in float64."""
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n


def behaviour(log_f: Callable[[Tensor], Tensor]) -> Ends:
    """Measure the ends of ``f = exp(log_f)``; the logarithm keeps far tails from vanishing.

    The power is a difference quotient of ``log f`` against ``log t``, rounded to a multiple of one
    half where it is within 0.02 of one: the powers of every conversion are such multiples.
    """
    offsets = torch.tensor([NEARER, NEAR], dtype=torch.float64)
    zero, one = _power(log_f(offsets), offsets), _power(log_f(1 - offsets), offsets)
    if zero < 0 or one < 0:
        return Ends(zero, one, math.inf)
    near = torch.logspace(-9, -2, 15, dtype=torch.float64)
    at_ends = torch.tensor([0.0, 1.0], dtype=torch.float64)  # the limits, where they are defined
    values = log_f(torch.cat([at_ends, near, interior(), 1 - near]))
    values = torch.where(torch.isnan(values) | torch.isposinf(values), -math.inf, values)
    return Ends(zero, one, float(values.max().exp()))


def _power(log_values: Tensor, offsets: Tensor) -> float:
    slope = float((log_values[1] - log_values[0]) / (offsets[1] / offsets[0]).log())
    nearest = round(2 * slope) / 2
    return nearest if abs(slope - nearest) < 0.02 else slope
