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
        # Vectors are columns of a matrix from here on, and what a group has is a matrix of one.
        self.xp, self.weight, column = xp, weight[..., None], column[..., None]
        self._weight_turned = weight[:, None, :]
        self.rho: Any = None if rho is None else rho[:, None, None]
        self.epsilon = epsilon.clip(LEAST_MASS)[:, None, None]  # equal costs would leave none
        kernel = xp.swapaxes(column, 1, 2) - cost
        kernel /= self.epsilon
        top = xp.amax(kernel, 2)[..., None]
        kernel -= top
        self._kernel = xp.exp(xp.clip(kernel, LOWEST_EXPONENT, None, out=kernel), out=kernel)
        self._turned = xp.swapaxes(kernel, 1, 2)
        self._absorbed = xp.stack((-self.epsilon * top, column))
        self._power: Any = -1.0
        self._units: Any = (None, None)
        if self.rho is not None:  # what the potentials ask of a unit of mass is not one then
            total = self.rho + self.epsilon
            self._power = -self.rho / total
            self._units = xp.exp(self._absorbed / -total)
        self._least = xp.full_like(column, LEAST_MASS)
        self._beyond: Any = None  # by how much a step is longer than Sinkhorn's
        self._v = xp.ones_like(column)
        self._u = self._step(self._mass(self._kernel, self._v), None, self._units[0], None)
        self._mass_of_columns = self._mass(self._turned, self._u)
        self._violation: Any = None

    def settle(self) -> Kernel:
        """Measure the violation before any sweep, for the first ones to be compared with."""
        self.sweep(0).adapt(1)
        return self

    def sweep(self, sweeps: int) -> Kernel:
        """Make some sweeps and return the kernel; the last half of one makes the rows exact."""
        u, v, mass = self._u, self._v, self._mass_of_columns
        for left in reversed(range(sweeps)):
            v = self._step(mass, v, self._units[1], self._beyond)
            mass = self._mass(self._kernel, v)
            u = self._step(mass, u, self._units[0], self._beyond if left else None)
            mass = self._mass(self._turned, u)
        factors = self.xp.stack((u, v))
        self._potentials = self._absorbed + self.epsilon * self.xp.log(factors)
        if self.rho is not None:
            shift = self._best_shift()
            self._potentials += shift
            factor = self.xp.exp(shift / self.epsilon)
            factors, mass = factors * factor, mass * factor[0]
        (self._u, self._v), self._mass_of_columns = factors, mass
        return self

    @property
    def potentials(self) -> Any:
        """Potentials of rows and columns after the last sweeps, shape ``2 groups rows``."""
        return self._potentials[..., 0]

    @property
    def violation(self) -> Any:
        """Violation of each group when it was last measured."""
        return self._violation[:, 0, 0]

    @property
    def is_worn(self) -> bool:
        """Whether factors are so large that a new kernel should absorb them."""
        return bool((abs(self._potentials - self._absorbed) > WORN * self.epsilon).any())

    def adapt(self, sweeps: int) -> None:
        """Measure the violation, and set the length of a step by its fall over the last sweeps.

        Over-relaxation by ``1 + b`` turns the rate theta of plain sweeps into the rate r with
        ``(r + b)^2 = r theta (1 + b)^2``, and is best at ``1 + b = 2 / (1 + sqrt(1 - theta))``.
        """
        mass = self._v * self._mass_of_columns
        asked = 1.0 if self.rho is None else self.xp.exp(self._potentials[1] / -self.rho)
        gap, total = (self._total(x) for x in (abs(mass - asked), mass + asked))
        before, self._violation = self._violation, gap / total
        if before is None:
            return
        beyond = 0.0 if self._beyond is None else self._beyond
        with np.errstate(divide="ignore", invalid="ignore"):  # a group may be done
            rate = (self._violation / before) ** (1 / sweeps)
            theta = (rate + beyond) ** 2 / (rate * (1 + beyond) ** 2)
        longer = 2 / (1 + (1 - theta.clip(0, SLOWEST)) ** 0.5) - 1
        self._beyond = self.xp.where((rate > 0) & (rate < 1), longer, 0.0)

    def _mass(self, side: Any, other: Any) -> Any:
        """Return the mass of each row or column but for its own factor, given the other factors."""
        return self.xp.matmul(side, self.weight * other)

    def _step(self, mass: Any, old: Any, unit: Any, beyond: Any) -> Any:
        """Return what each row or column is to be multiplied by."""
        new = self.xp.maximum(mass, self._least) ** self._power
        if unit is not None:
            new = new * unit
        return new if beyond is None else new * (new / old) ** beyond

    def _total(self, values: Any) -> Any:
        """Return the weighted sum over the rows of each group; vectors may be stacked."""
        return self.xp.matmul(self._weight_turned, values)

    def _best_shift(self) -> Any:
        """Return what to add to both potentials of each group, right after the rows were made so.

        Of all ``f + s, g + t``, the best make the mass of the plan, ``sum_i w_i exp(-f_i / rho)``
        and ``sum_j w_j exp(-g_j / rho)`` equal; the first two are already.
        """
        exponent = self._potentials / -self.rho
        top = self.xp.amax(exponent, 2)[..., None]
        row, column = top + self.xp.log(self._total(self.xp.exp(exponent - top)))
        part = (row - column) * (self.rho / (2 * self.rho + self.epsilon))
        return self.xp.stack((part * self.rho, part * -(self.rho + self.epsilon)))
