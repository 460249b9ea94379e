r"""Entropic transport by annealed Sinkhorn sweeps; every solver here starts from its potentials.

For costs C (data in rows, noise in columns) and uniform weights, the plan is
``P_ij = exp((f_i + g_j - C_ij) / eps) / n^2``, with f and g found by alternating

.. math::
    f_i = -\tau\, \epsilon \log \frac1n \sum_j e^{{(g_j - C_ij)/\epsilon}}, \qquad
    g_j = -\tau\, \epsilon \log \frac1n \sum_i e^{{(f_i - C_ij)/\epsilon}},
    \qquad \tau = \frac{\rho}{\rho + \epsilon}

(rho infinite: marginals are kept; finite: their violation costs rho times its KL divergence).
Groups of rows, a label each, are swept together, with padding of weight zero.

What makes it fast: the potentials are absorbed into a kernel, so that a sweep is two matrix-vector
products; falling temperatures reach a small epsilon in tens of sweeps instead of thousands; and
for a finite rho the best common shift ``f + s, g - s`` has a closed form. Sweeps alone find that
shift at the rate ``tau**2``, in about 100 sweeps at epsilon = rho / 20 where 20 do with it.

References:
    1306.0895 (Sinkhorn); 1607.05816 (unbalanced, absorption into the kernel); 2201.00730, section
    3 (the shift).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Potentials", "sweep", "to_tolerance"]

LOWEST_EXPONENT = -80.0  # exp of it is a normal float32; subnormal ones slow the products tenfold
LARGEST_FACTOR = 1e30  # of a row or column between two absorptions; its inverse is a float32
SWEEPS = 5  # between two absorptions, which cost about as much as five sweeps
COOLING = 3.0  # ratio of neighbouring temperatures


@dataclass(frozen=True)
class Potentials:
    """Dual potentials of plans between groups of rows.

    Attributes:
        row: Potential f of each data row, shape ``groups rows``.
        column: Potential g of each noise row, of the same shape.
        epsilon: Temperature of each group, in units of the cost.
        violation: Total variation between the noise marginal of each group's plan and the one that
            its potentials ask for (the given one where marginals are kept), in [0, 1].
    """

    row: Tensor
    column: Tensor
    epsilon: Tensor
    violation: Tensor

    def log_plan(self, cost: Tensor, weight: Tensor) -> Tensor:
        """Return the logarithm of the law of the noise given a data row, times its mass."""
        total = (self.row[:, :, None] + self.column[:, None, :]).sub_(cost)
        return total.div_(self.epsilon[:, None, None]).add_(weight.log()[:, None, :])


def sweep(
    cost: Tensor,
    weight: Tensor,
    column: Tensor,
    epsilon: Tensor,
    *,
    sweeps: int = SWEEPS,
    rho: Tensor | None = None,
) -> Potentials:
    """Make a few Sinkhorn sweeps from given potentials of the columns.

    Args:
        cost: Costs, data in rows, shape ``groups rows rows``.
        weight: Weight of each row on both sides, shape ``groups rows``; padding has none.
        column: Potential of each column.
        epsilon: Temperature of each group, in units of the cost.
        sweeps: Sweeps; the last half of one makes the rows exact.
        rho: Price of a violated marginal for each group, in units of the cost; None keeps them.
    """
    epsilon = epsilon.clamp_min(1 / LARGEST_FACTOR)[:, None]  # equal costs would leave none at all
    kernel = torch.sub(column[:, None, :], cost).div_(epsilon[..., None])
    top = kernel.amax(2)
    kernel = kernel.sub_(top[..., None]).clamp_(min=LOWEST_EXPONENT).exp_()
    row, ones = -epsilon * top, torch.ones_like(column)
    power: Tensor | float = -1.0
    row_unit = column_unit = ones
    if rho is not None:  # what the potentials ask of a unit of mass is not one then
        rho = rho[:, None]
        power = -1 / (1 + epsilon / rho)
        row_unit, column_unit = ((f / -(rho + epsilon)).exp_() for f in (row, column))

    def factor(side: Tensor, other: Tensor, unit: Tensor) -> Tensor:
        """Return what each row or column is to be multiplied by, given the factors of the other."""
        mass = torch.bmm(side, (weight * other)[..., None])[..., 0]
        return mass.pow_(power).mul_(unit).clamp_(1 / LARGEST_FACTOR, LARGEST_FACTOR)

    u, v = factor(kernel, ones, row_unit), ones
    for _ in range(sweeps):
        v = factor(kernel.mT, u, column_unit)
        u = factor(kernel, v, row_unit)
    mass = v * torch.bmm(kernel.mT, (weight * u)[..., None])[..., 0]
    row, column, asked = row + epsilon * u.log_(), column + epsilon * v.log_(), ones
    if rho is not None:
        shift = _log_mean(row / -rho, weight).sub_(_log_mean(column / -rho, weight)).mul_(rho / 2)
        row, column = row + shift, column - shift
        asked = (column / -rho).exp_()
    gap, total = weight * (mass - asked).abs_(), weight * (mass + asked)
    return Potentials(row, column, epsilon[:, 0], gap.sum(1) / total.sum(1))


def _log_mean(exponent: Tensor, weight: Tensor) -> Tensor:
    return torch.logsumexp(exponent + weight.log(), 1, keepdim=True)


def to_tolerance(
    cost: Tensor,
    weight: Tensor,
    epsilon: Tensor,
    *,
    tolerance: float,
    max_sweeps: int,
    rho: Tensor | None = None,
) -> tuple[Potentials, int]:
    """Anneal to ``epsilon``, then sweep until the noise marginals are right within ``tolerance``.

    Args:
        cost: Costs, data in rows, shape ``groups rows rows``.
        weight: Weight of each row on both sides, shape ``groups rows``; padding has none.
        epsilon: Final temperature of each group, in units of the cost.
        tolerance: Largest violation at which to stop.
        max_sweeps: Bound on the sweeps at the final temperature.
        rho: Price of a violated marginal for each group, in units of the cost; None keeps them.

    Returns:
        The potentials, and the number of sweeps at the final temperature.
    """
    column = torch.zeros_like(cost[:, 0])
    temperature = cost.flatten(1).std(1, correction=0)
    while bool((temperature > 2 * epsilon).any()):
        at = torch.maximum(temperature, epsilon)
        column = sweep(cost, weight, column, at, rho=rho).column
        temperature = temperature / COOLING
    made = 0
    while made < max_sweeps:
        found = sweep(cost, weight, column, epsilon, rho=rho)
        column, made = found.column, made + SWEEPS
        if bool((found.violation <= tolerance).all()):
            break
    return found, made
