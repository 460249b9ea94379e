"""Laws in closed form with weight on one end, or on both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from precond_gm.objectives.time_laws.base import FixedTimeLaw
from precond_gm.options import check_positive

__all__ = ["Shifted", "UShaped"]

STEEPEST = 100.0  # the density at 1/2 is 2e-20 here; sinh overflows float32 at 176


@final
@dataclass(frozen=True)
class Shifted(FixedTimeLaw):
    r"""Uniform times moved by ``t' = t / (a - (a - 1) t)``, towards noise for ``a > 1``.

    In logits it is a move by ``-log a``; the density is ``a / (1 + (a - 1) t)^2``, positive
    everywhere. A shifted logit-normal law is logit-normal: move its mean.

    Args:
        shift: Factor a, positive; 3 is published for images of about a million pixels.

    References:
        arXiv:2403.03206, eq. 23 (there t = 1 is noise).
    """

    shift: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "shift", hint="1 is no shift, 3 is published.")

    def quantile(self, u: Tensor) -> Tensor:
        """Return the shifted time."""
        return u / (self.shift - (self.shift - 1) * u)

    def cdf(self, t: Tensor) -> Tensor:
        """Undo the shift."""
        return self.shift * t / (1 + (self.shift - 1) * t)

    def log_density(self, t: Tensor) -> Tensor:
        """Return the log-density."""
        return math.log(self.shift) - 2 * ((self.shift - 1) * t).log1p()


@final
@dataclass(frozen=True)
class UShaped(FixedTimeLaw):
    r"""Density proportional to ``exp(a t) + exp(a (1 - t))``: most of the time at the ends.

    Args:
        steepness: Exponent a, in (0, 100]; 4 is the published one.

    References:
        arXiv:2405.20320 (the U-shaped law of 2-rectified flow++).
    """

    steepness: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        hint = "Beyond, no time in the middle is ever drawn; 4 is published."
        check_positive(self, "steepness", largest=STEEPEST, hint=hint)

    def quantile(self, u: Tensor) -> Tensor:
        """Return the time below which a share ``u`` lies."""
        return 0.5 + torch.asinh((2 * u - 1) * math.sinh(self.steepness / 2)) / self.steepness

    def cdf(self, t: Tensor) -> Tensor:
        """Return the share of times below ``t``."""
        inside = torch.sinh(self.steepness * (t - 0.5)) / math.sinh(self.steepness / 2)
        return 0.5 + inside / 2

    def log_density(self, t: Tensor) -> Tensor:
        """Return the log-density."""
        factor = self.steepness / (2 * math.sinh(self.steepness / 2))
        return math.log(factor) + torch.cosh(self.steepness * (t - 0.5)).log()
