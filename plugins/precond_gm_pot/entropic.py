r"""Entropic transport by annealed Sinkhorn sweeps; every solver here starts from its potentials.

For costs C (data in rows, noise in columns) and uniform weights, the plan is
``P_ij = exp((f_i + g_j - C_ij) / eps) / n^2``, with f and g found by alternating

.. math::
    f_i = -\tau\, \epsilon \log \frac1n \sum_j e^{{(g_j - C_ij)/\epsilon}}, \qquad
    g_j = -\tau\, \epsilon \log \frac1n \sum_i e^{{(f_i - C_ij)/\epsilon}},
    \qquad \tau = \frac{\rho}{\rho + \epsilon}

(rho infinite: marginals are kept; finite: their violation costs rho times its KL divergence).
Groups of rows, a label each, are swept together, with padding of weight zero. The same lines sweep
tensors and arrays: below some five hundred rows a sweep takes the time of its calls, not of its
arithmetic, and a call of NumPy takes a fifth of one of torch.

What makes it fast: the potentials are absorbed into a kernel, so that a sweep is two matrix-vector
products; falling temperatures reach a small epsilon in tens of sweeps instead of thousands; steps
longer than Sinkhorn's, as long as its measured rate calls for, need a third of the sweeps (225 fall
to 50 for 128 rows of ten labels at d = 2 and epsilon = 0.01); and for a finite rho the best shifts
``f + s, g + t`` have a closed form. Sweeps alone find them at the rate ``tau**2``, in about 100
sweeps at epsilon = rho / 20 where 5 to 15 do with them.

References:
    1306.0895 (Sinkhorn); 1607.05816 (unbalanced, absorption into the kernel); 2201.00730, section
    3 (the shifts); 1711.01851 and 2012.12562 (longer steps, and their length from the rate).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from precond_gm_pot.kernel import Kernel

__all__ = ["Potentials", "sweep", "to_tolerance", "warn_if_off"]

SWEEPS = 5  # between two looks at the violation, which cost about as much as one sweep
HOTTEST = 0.3  # first temperature, in deviations of the costs
COOLING = 5.0  # ratio of neighbouring temperatures
MOST_ENTRIES = 512**2  # of costs that are swept as arrays


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


def sweep(cost: Tensor, weight: Tensor, column: Tensor, epsilon: Tensor, *, sweeps: int) -> Tensor:
    """Return potentials of the columns after a few Sinkhorn sweeps that keep both marginals.

    Args:
        cost: Costs, data in rows, shape ``groups rows rows``.
        weight: Weight of each row on both sides, shape ``groups rows``; padding has none.
        column: Potential of each column.
        epsilon: Temperature of each group, in units of the cost.
        sweeps: Number of sweeps, a multiple of five.
    """
    xp, given = _arrays(cost, weight, column, epsilon, None)
    kernel = Kernel(xp, *given)
    for _ in range(0, sweeps, SWEEPS):
        kernel.sweep(SWEEPS).adapt(SWEEPS)
    return torch.as_tensor(kernel.potentials[1])


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
    hottest = HOTTEST * cost.flatten(1).std(1, correction=0)
    xp, given = _arrays(cost, weight, torch.zeros_like(weight), epsilon, rho, hottest)
    costs, weights, column, final, price, temperature = given
    while (temperature > 2 * final).any():
        kernel = Kernel(xp, costs, weights, column, xp.maximum(temperature, final), price)
        column, temperature = kernel.sweep(SWEEPS).potentials[1], temperature / COOLING
    made, kernel = 0, Kernel(xp, costs, weights, column, final, price).settle()
    while True:
        kernel.sweep(SWEEPS).adapt(SWEEPS)
        made += SWEEPS
        if made >= max_sweeps or (kernel.violation <= tolerance).all():
            found = *kernel.potentials, kernel.epsilon[:, 0, 0], kernel.violation
            return Potentials(*(torch.as_tensor(x) for x in found)), made
        if kernel.is_worn:
            kernel = Kernel(xp, costs, weights, kernel.potentials[1], final, price).settle()


def warn_if_off(found: Potentials, sweeps: int, tolerance: float, *, who: str, remedy: str) -> None:
    """Warn where the noise marginal of a group's plan is off by more than the tolerance.

    Args:
        found: What ``to_tolerance`` found.
        sweeps: How many it made.
        tolerance: That it was asked for.
        who: Name of the coupling.
        remedy: What to use instead.
    """
    if not (error := float(found.violation.amax())) <= tolerance:
        warnings.warn(
            f"{who}: the noise marginal is off by {error:.2g} in total variation after {sweeps} "
            f"sweeps, above the tolerance {tolerance:g}. Raise epsilon or max_sweeps, or use "
            f"{remedy}.",
            RuntimeWarning,
            stacklevel=3,
        )


def _arrays(cost: Tensor, *others: Tensor | None) -> tuple[Any, list[Any]]:
    """Return the library that sweeps these costs fastest, and all that is given in its form."""
    if cost.device.type != "cpu" or cost.numel() > MOST_ENTRIES:
        return torch, [cost, *others]
    return np, [None if x is None else x.detach().numpy() for x in (cost, *others)]
