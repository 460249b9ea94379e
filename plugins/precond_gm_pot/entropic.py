r"""Entropic transport by annealed Sinkhorn sweeps; every solver here starts from its potentials.

For costs C (data in rows, noise in columns) and uniform weights, the plan is
``P_ij = exp((f_i + g_j - C_ij) / eps) / n^2``, with f and g found by alternating

.. math::
    f_i = -\tau\, \epsilon \log \frac1n \sum_j e^{{(g_j - C_ij)/\epsilon}}, \qquad
    g_j = -\tau\, \epsilon \log \frac1n \sum_i e^{{(f_i - C_ij)/\epsilon}},
    \qquad \tau = \frac{\rho}{\rho + \epsilon}

(tau = 1: marginals are kept; finite rho: their violation costs rho times its KL divergence). The
potentials absorbed into a kernel make a sweep two matrix-vector products, and falling temperatures
reach a small epsilon in tens of sweeps instead of thousands.

References:
    1306.0895 (Sinkhorn); 1607.05816 (unbalanced, absorption into the kernel).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Potentials", "sweep", "to_tolerance"]

LOWEST_EXPONENT = -80.0  # exp of it is a normal float32; subnormal ones slow the products tenfold
SWEEPS = 10  # between two absorptions


@dataclass(frozen=True)
class Potentials:
    """Dual potentials of a plan between uniform weights.

    Attributes:
        row: Potential f of each data row.
        column: Potential g of each noise row.
        epsilon: Temperature, in units of the cost.
        marginal_error: Total variation between the plan's noise marginal and the one it should
            have, in [0, 1]; data rows are exact.
        sweeps: Sweeps that were made at the last temperature.
    """

    row: Tensor
    column: Tensor
    epsilon: float
    marginal_error: float
    sweeps: int

    def log_plan(self, cost: Tensor) -> Tensor:
        """Return ``log(n P_ij)``: rows sum to one, as laws of the noise given a data row."""
        n = cost.shape[1]
        return (self.row[:, None] + self.column - cost) / self.epsilon - math.log(n)


def sweep(
    cost: Tensor,
    row: Tensor,
    column: Tensor,
    epsilon: Tensor | float,
    *,
    sweeps: int = SWEEPS,
    tau: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Make a few Sinkhorn sweeps from given potentials; return the new ones.

    Args:
        cost: Costs, data in rows.
        row: Potential of each row; only its rough size matters.
        column: Potential of each column.
        epsilon: Temperature, in units of the cost.
        sweeps: Sweeps; the last half of one makes the rows exact.
        tau: 1 where marginals are kept, below where they may be violated.
    """
    n = cost.shape[0]
    reduced = (row[:, None] + column - cost) / epsilon
    top = reduced.amax(1, keepdim=True)
    kernel = (reduced - top).clamp_(min=LOWEST_EXPONENT).exp_()
    absorbed_row, absorbed_column = row - epsilon * top[:, 0], column
    for step in range(sweeps + 1):
        weight = ((column - absorbed_column) / epsilon).exp()
        row = tau * (absorbed_row - epsilon * (kernel @ weight / n).log())
        if step < sweeps:
            weight = ((row - absorbed_row) / epsilon).exp()
            column = tau * (absorbed_column - epsilon * (weight @ kernel / n).log())
            column = torch.nan_to_num(column, 0.0, 0.0, 0.0)
    return row, column


def to_tolerance(
    cost: Tensor,
    epsilon: float,
    *,
    tolerance: float,
    max_sweeps: int,
    tau: float = 1.0,
) -> Potentials:
    """Anneal to ``epsilon``, then sweep until the noise marginal is right within ``tolerance``.

    Args:
        cost: Costs, data in rows.
        epsilon: Final temperature, in units of the cost.
        tolerance: Total variation at which to stop; for tau < 1, change of the potentials in units
            of epsilon at which to stop.
        max_sweeps: Bound on the sweeps at the final temperature.
        tau: 1 where marginals are kept.
    """
    row, column = cost.amin(1), torch.zeros_like(cost[0])
    temperature = float(cost.std()) if cost.numel() > 1 else 0.0
    while temperature > 2 * epsilon:
        row, column = sweep(cost, row, column, temperature, tau=tau)
        temperature /= 3
    error, made = math.inf, 0
    while made < max_sweeps:
        before = column
        row, column = sweep(cost, row, column, epsilon, tau=tau)
        made += SWEEPS
        if tau < 1:
            error = float((column - before).abs().amax()) / epsilon
        else:
            error = _marginal_error(cost, row, column, epsilon)
        if error <= tolerance:
            break
    return Potentials(row, column, epsilon, _marginal_error(cost, row, column, epsilon), made)


def _marginal_error(cost: Tensor, row: Tensor, column: Tensor, epsilon: float) -> float:
    n = cost.shape[0]
    mass = ((row[:, None] + column - cost) / epsilon).exp().sum(0) / n
    return float((mass - 1).abs().sum()) / (2 * n)
