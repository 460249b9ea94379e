r"""Monotone functions of one variable as zuko has them, kept within what float32 can undo."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Transform
from zuko.flows.polynomial import ShiftedSOSPTransform
from zuko.transforms import MonotonicTransform

__all__ = ["Gaussianization", "bounded_polynomials"]

MAX_COEFFICIENT = 1.0  # of a polynomial, which is then at most 1 + (degree + 1) on its box
MAX_LOG_SCALE = 3.0  # of a component: a wall steeper than e^3 is flat everywhere else


class Gaussianization(MonotonicTransform):
    r"""Map a mixture of normal laws to N(0, 1): ``f(x) = Phi^-1(mean_k Phi(exp(a_k) x + b_k))``.

    zuko takes the function through ``erf``, whose values near 1 have eight digits between them and
    their neighbours: beyond three deviations the inverse loses five of its seven. Here the smaller
    of the two tails is averaged, which float32 resolves down to thirteen deviations.

    Args:
        shift: Shifts ``b``, shape ``* components``.
        scale: Logarithms ``a`` of the scales, shape ``* components``, held within [-3, 3].
    """

    def __init__(self, shift: Tensor, scale: Tensor) -> None:
        super().__init__(None, phi=(shift, scale))
        self.shift = shift
        self.scale = (scale / (1 + (scale / MAX_LOG_SCALE).abs())).exp()

    def f(self, x: Tensor) -> Tensor:
        """Return the value, by the tail on whose side ``x`` lies."""
        u = (x[..., None] * self.scale + self.shift) / math.sqrt(2)
        least = torch.finfo(x.dtype).tiny ** 0.8  # below, the gradient of Phi^-1 overflows
        lower = (torch.erfc(-u).mean(-1) / 2).clamp_min(least)
        upper = (torch.erfc(u).mean(-1) / 2).clamp_min(least)
        tail = torch.special.ndtri(torch.minimum(lower, upper))
        return torch.where(lower < upper, tail, -tail)


def bounded_polynomials(coefficients: Tensor, constant: Tensor) -> Transform:
    """Return zuko's sum of squared polynomials with coefficients within [-1, 1], shifted.

    Unbounded ones make slopes of 1e6: the value at the edge of the box then has no digits left for
    the rows beyond it.

    Args:
        coefficients: Shape ``* polynomials degree+1``.
        constant: Shift, shape ``*``.
    """
    bounded = MAX_COEFFICIENT * torch.tanh(coefficients / MAX_COEFFICIENT)
    return ShiftedSOSPTransform(bounded, constant)
