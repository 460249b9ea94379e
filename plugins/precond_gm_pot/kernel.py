"""Sinkhorn sweeps with the potentials absorbed in a kernel, and steps longer than Sinkhorn's."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Kernel"]

LOWEST_EXPONENT = -80.0  # exp of it is a normal float32; subnormal ones slow the products tenfold
LEAST_MASS = 1e-30  # of a row or column before its own factor, whose inverse is a float32
WORN = 25.0  # logarithm of a factor at which a kernel is made anew; what is cut off is below e^-30
SLOWEST = 0.99  # rate of plain sweeps that sets the longest step, 1.8 times Sinkhorn's


class Kernel:
    """Sweeps by matrix-vector products, with the potentials they start from absorbed in a kernel.

    Args:
        xp: ``numpy`` or ``torch``: what the rest is made of.
        cost: As for ``sweep``, like the three below.
        weight: Of each row.
        column: Potentials to start from.
        epsilon: Temperature of each group.
        rho: Price of a violated marginal for each group; None keeps them.
    """

    def __init__(
        self, xp: Any, cost: Any, weight: Any, column: Any, epsilon: Any, rho: Any
    ) -> None:
        self.xp, self.weight, self.rho = xp, weight, None if rho is None else rho[:, None]
        self.epsilon = epsilon.clip(LEAST_MASS)[:, None]  # equal costs would leave none
        kernel = column[:, None, :] - cost
        kernel /= self.epsilon[..., None]
        top = xp.amax(kernel, 2)
        kernel -= top[..., None]
        self._kernel = xp.exp(xp.clip(kernel, LOWEST_EXPONENT, None, out=kernel), out=kernel)
        self._turned = xp.swapaxes(kernel, 1, 2)
        self._absorbed = -self.epsilon * top, column
        self._power: Any = -1.0
        self._units: tuple[Any, Any] = (None, None)
        if self.rho is not None:  # what the potentials ask of a unit of mass is not one then
            total = self.rho + self.epsilon
            self._power = -self.rho / total
            self._units = tuple(xp.exp(f / -total) for f in self._absorbed)
        self._least = xp.full_like(column, LEAST_MASS)
        self._v = xp.ones_like(column)
        self._u = self._factor(self._kernel, self._v, self._units[0])
        self._beyond: Any = None  # by how much a step is longer than Sinkhorn's
        self.violation: Any = None

    def sweep(self, sweeps: int) -> Kernel:
        """Make some sweeps and return the kernel; the last half of one makes the rows exact."""
        u, v = self._u, self._v
        for left in reversed(range(sweeps)):
            v = self._step(self._turned, u, v, self._units[1], self._beyond)
            u = self._step(self._kernel, v, u, self._units[0], self._beyond if left else None)
        row, column = self._absorbed
        self.row = row + self.epsilon * self.xp.log(u)
        self.column = column + self.epsilon * self.xp.log(v)
        if self.rho is not None:
            shift = self._log_mean(self.row) - self._log_mean(self.column)
            shift *= self.rho / 2
            self.row, self.column = self.row + shift, self.column - shift
            factor = self.xp.exp(shift / self.epsilon)
            u, v = u * factor, v / factor
        self._u, self._v = u, v
        return self

    @property
    def is_worn(self) -> bool:
        """Whether factors are so large that a new kernel should absorb them."""
        return any(float(abs(self.xp.log(x)).max()) > WORN for x in (self._u, self._v))

    def adapt(self, sweeps: int) -> None:
        """Measure the violation, and set the length of a step by its fall over the last sweeps.

        Over-relaxation by ``1 + b`` turns the rate theta of plain sweeps into the rate r with
        ``(r + b)^2 = r theta (1 + b)^2``, and is best at ``1 + b = 2 / (1 + sqrt(1 - theta))``.
        """
        mass = self._v * self._mass(self._turned, self._u)
        asked = 1.0 if self.rho is None else self.xp.exp(self.column / -self.rho)
        gap, total = self.weight * abs(mass - asked), self.weight * (mass + asked)
        before, self.violation = self.violation, gap.sum(1) / total.sum(1)
        if before is None:
            return
        beyond = 0.0 if self._beyond is None else self._beyond
        with np.errstate(divide="ignore", invalid="ignore"):  # a group may be done
            rate = (self.violation / before)[:, None] ** (1 / sweeps)
            theta = (rate + beyond) ** 2 / (rate * (1 + beyond) ** 2)
        longer = 2 / (1 + (1 - theta.clip(0, SLOWEST)) ** 0.5) - 1
        self._beyond = self.xp.where((rate > 0) & (rate < 1), longer, 0.0)

    def _mass(self, side: Any, other: Any) -> Any:
        """Return the mass of each row or column but for its own factor, given the other factors."""
        return self.xp.matmul(side, (self.weight * other)[..., None])[..., 0]

    def _factor(self, side: Any, other: Any, unit: Any) -> Any:
        """Return what each row or column is to be multiplied by."""
        factor = self.xp.maximum(self._mass(side, other), self._least) ** self._power
        return factor if unit is None else factor * unit

    def _step(self, side: Any, other: Any, old: Any, unit: Any, beyond: Any) -> Any:
        new = self._factor(side, other, unit)
        return new if beyond is None else new * (new / old) ** beyond

    def _log_mean(self, potential: Any) -> Any:
        """Return log sum_i w_i exp(-f_i / rho) of each group, shape ``groups 1``."""
        exponent = potential / -self.rho
        top = self.xp.amax(exponent, 1)[:, None]
        return top + self.xp.log((self.weight * self.xp.exp(exponent - top)).sum(1))[:, None]
