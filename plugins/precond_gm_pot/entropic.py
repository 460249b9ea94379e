r"""Entropic transport by annealed Sinkhorn sweeps; every solver here starts from its potentials.

For costs C (data in rows, noise in columns) and uniform weights, the plan is
``P_ij = exp((f_i + g_j - C_ij) / eps) / n^2``, with f and g found by alternating

.. math::
    f_i = -\tau\, \epsilon \log \frac1n \sum_j e^{{(g_j - C_ij)/\epsilon}}, \qquad
    g_j = -\tau\, \epsilon \log \frac1n \sum_i e^{{(f_i - C_ij)/\epsilon}},
    \qquad \tau = \frac{\rho}{\rho + \epsilon}

(rho infinite: marginals are kept; finite: their violation costs rho times its KL divergence).

What makes it fast: the potentials are absorbed into a kernel, so that a sweep is two matrix-vector
products; falling temperatures reach a small epsilon in tens of sweeps instead of thousands; and
for a finite rho the best common shift ``f + s, g - s`` has a closed form. Sweeps alone find that
shift at the rate ``tau**2``, in about 100 sweeps at epsilon = rho / 20 where 20 do with it.

References:
    1306.0895 (Sinkhorn); 1607.05816 (unbalanced, absorption into the kernel); 2201.00730, section
    3 (the shift).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["Potentials", "sweep", "to_tolerance"]

LOWEST_EXPONENT = -80.0  # exp of it is a normal float32; subnormal ones slow the products tenfold
LARGEST_FACTOR = 1e30  # of a row or column between two absorptions; its inverse is a float32
SWEEPS = 5  # between two absorptions, which cost about as much as five sweeps
COOLING = 3.0  # ratio of neighbouring temperatures


@dataclass(frozen=True)
class Potentials:
    """Dual potentials of a plan between uniform weights.

    Attributes:
        row: Potential f of each data row.
        column: Potential g of each noise row.
        epsilon: Temperature, in units of the cost.
        violation: Total variation between the plan's noise marginal and the one that its potentials
            ask for (the uniform one where marginals are kept), in [0, 1]; data rows are exact.
        sweeps: Sweeps that were made at this temperature.
    """

    row: Tensor
    column: Tensor
    epsilon: float
    violation: Tensor
    sweeps: int

    def log_plan(self, cost: Tensor) -> Tensor:
        """Return ``log(n P_ij)``: rows sum to one, as laws of the noise given a data row."""
        n = cost.shape[1]
        return (self.row[:, None] + self.column - cost) / self.epsilon - math.log(n)


def sweep(
    cost: Tensor,
    column: Tensor,
    epsilon: float,
    *,
    sweeps: int = SWEEPS,
    rho: float = math.inf,
) -> Potentials:
    """Make a few Sinkhorn sweeps from given potentials of the columns.

    Args:
        cost: Costs, data in rows.
        column: Potential of each column.
        epsilon: Temperature, in units of the cost.
        sweeps: Sweeps; the last half of one makes the rows exact.
        rho: Price of a violated marginal, in units of the cost; infinite keeps marginals.
    """
    epsilon = max(epsilon, 1 / LARGEST_FACTOR)  # equal costs would leave no temperature at all
    kernel = torch.sub(column / epsilon, cost, alpha=1 / epsilon)
    top = kernel.amax(1) + math.log(cost.shape[0])
    kernel = kernel.sub_(top[:, None]).clamp_(min=LOWEST_EXPONENT).exp_()
    row, power = -epsilon * top, -1 / (1 + epsilon / rho)
    # What the potentials ask of a unit of mass: one, where marginals are kept.
    row_unit, column_unit = (row / -(rho + epsilon)).exp_(), (column / -(rho + epsilon)).exp_()

    def factor(mass: Tensor, unit: Tensor) -> Tensor:
        """Return what a row or column of the kernel, of this mass, is to be multiplied by."""
        return mass.pow_(power).mul_(unit).clamp_(1 / LARGEST_FACTOR, LARGEST_FACTOR)

    u, v = factor(kernel.sum(1), row_unit), torch.ones_like(column)
    for _ in range(sweeps):
        v = factor(kernel.T @ u, column_unit)
        u = factor(kernel @ v, row_unit)
    mass = v * (kernel.T @ u)
    row, column = row + epsilon * u.log_(), column + epsilon * v.log_()
    if math.isfinite(rho):
        shift = rho / 2 * (torch.logsumexp(-row / rho, 0) - torch.logsumexp(-column / rho, 0))
        row, column = row + shift, column - shift
    asked = (column / -rho).exp()
    violation = (mass - asked).abs().sum() / (mass + asked).sum()
    return Potentials(row, column, epsilon, violation, sweeps)


def to_tolerance(
    cost: Tensor,
    epsilon: float,
    *,
    tolerance: float,
    max_sweeps: int,
    rho: float = math.inf,
) -> Potentials:
    """Anneal to ``epsilon``, then sweep until the noise marginal is right within ``tolerance``.

    Args:
        cost: Costs, data in rows.
        epsilon: Final temperature, in units of the cost.
        tolerance: Violation at which to stop.
        max_sweeps: Bound on the sweeps at the final temperature.
        rho: Price of a violated marginal, in units of the cost; infinite keeps marginals.
    """
    column = torch.zeros_like(cost[0])
    temperature = float(cost.std()) if cost.numel() > 1 else 0.0
    while temperature > 2 * epsilon:
        column = sweep(cost, column, temperature, rho=rho).column
        temperature /= COOLING
    made = 0
    while made < max_sweeps:
        found = sweep(cost, column, epsilon, rho=rho)
        column, made = found.column, made + SWEEPS
        if float(found.violation) <= tolerance:
            break
    return replace(found, sweeps=made)
