"""Posterior shares, with those that cannot matter set to zero."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["shares"]


def shares(log_weight: Tensor, log_total: Tensor) -> Tensor:
    """Return ``exp(log_weight - log_total)``, zero where it is far below rounding.

    Far from the data most shares are denormal numbers, which cost matrix products on a host a
    factor of twenty. The bound (1e-26 in float32) stays clear of them after a product as well.

    Args:
        log_weight: Logarithms of weights.
        log_total: Logarithm of their sum, broadcast against them.
    """
    floor = 0.7 * math.log(torch.finfo(log_weight.dtype).tiny)
    relative = log_weight - log_total
    return relative.masked_fill(relative < floor, -torch.inf).exp()
