r"""Make any monotone function of one variable a bijection of the whole line, with a sharp inverse.

zuko's monotone layers are given on a box ``[-B, B]``: beyond it they saturate, or leave the bracket
of their own bisection, and a row that far out does not come back. Here a layer ``f`` becomes

.. math::
    T(x) = \ell x + (1 - \ell) \, [f(\bar x) + x - \bar x], \qquad \bar x = \mathrm{clip}(x, -B, B)

which has slope 1 beyond the box and at least the leak ``l`` within it, so it can be undone in
floating point wherever x lies: by bisection, then by Newton's method, to the last digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform, constraints
from zuko.transforms import MonotonicTransform, UnconstrainedMonotonicTransform

__all__ = ["BOX", "Tailed", "tailed"]

BOX = 8.0  # deviations of the scaled rows; zuko searches within 10
LEAK = 0.02
BISECTIONS = 14  # to 2 * BOX / 2**14 = 1e-3, where Newton's method takes over
NEWTON_STEPS = 4  # each doubles the digits: 1e-3, 1e-6, 1e-12, and one for rounding


class Tailed(Transform):
    """A monotone transform on a box, continued by straight lines.

    Args:
        base: The transform, increasing on the box.
        box: Half the width of the box.
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = +1

    def __init__(self, base: Transform, box: float) -> None:
        super().__init__()
        self.base = base
        self.box = box

    def _call(self, x: Tensor) -> Tensor:
        inner = x.clamp(-self.box, self.box)
        return LEAK * x + (1 - LEAK) * (self.base(inner) + x - inner)

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the value and the logarithm of the slope."""
        inner = x.clamp(-self.box, self.box)
        value, slope = _value_and_slope(self.base, inner)
        slope = torch.where(x == inner, LEAK + (1 - LEAK) * slope, 1.0)
        return LEAK * x + (1 - LEAK) * (value + x - inner), slope.log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the slope."""
        return self.call_and_ladj(x)[1]

    def _inverse(self, y: Tensor) -> Tensor:
        edge = torch.full_like(y, self.box)
        low, high = self._call(-edge), self._call(edge)
        below, above = y < low, y > high
        with torch.no_grad():
            left, right = -edge, edge
            for _ in range(BISECTIONS):
                middle = (left + right) / 2
                less = self._call(middle) < y
                left, right = torch.where(less, middle, left), torch.where(less, right, middle)
            x = (left + right) / 2
            for _ in range(NEWTON_STEPS):
                value, ladj = self.call_and_ladj(x)
                x = (x - (value - y) * (-ladj).exp()).clamp(-self.box, self.box)
        x = self._with_gradient(x, y)
        return torch.where(below, y - low - self.box, torch.where(above, y - high + self.box, x))

    def _with_gradient(self, x: Tensor, y: Tensor) -> Tensor:
        """Take one more Newton step that carries the gradient of the inverse."""
        value, ladj = self.call_and_ladj(x)
        return x - (value - y) * (-ladj.detach()).exp()


@dataclass(frozen=True)
class tailed:
    """Constructor of ``Tailed`` transforms, to hand to zuko as its ``univariate``.

    Attributes:
        univariate: Constructor of the base transform.
        box: Half the width of the box.
    """

    univariate: Callable[..., Transform]
    box: float = BOX

    def __call__(self, *phi: Any) -> Transform:
        """Build the transform for parameters ``phi``."""
        return Tailed(self.univariate(*phi), self.box)


def _value_and_slope(base: Transform, x: Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(base, MonotonicTransform) and not isinstance(
        base, UnconstrainedMonotonicTransform
    ):
        # Not through the logarithm: where a function is flat to rounding, its gradient is NaN.
        keeps = torch.is_grad_enabled()
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            value = base(x)
            (slope,) = torch.autograd.grad(value.sum(), x, create_graph=keeps, retain_graph=True)
        return (value, slope) if keeps else (value.detach(), slope)
    value, ladj = base.call_and_ladj(x)
    return value, ladj.exp()
