"""Exact assignment: which noise row each data row gets, and which solver finds it fastest.

Milliseconds for a batch of n rows in dimension d, best of three on a shared core: POT's network
simplex (at its default limit), scipy's shortest augmenting paths, the same from warm potentials:

====  ===  ==================  ====  ====  ====
   n    d  data                 POT  cold  warm
====  ===  ==================  ====  ====  ====
 128   64  digits              6.8   1.4   7.7
 256    2  Gaussian            18    19    10
 256   64  digits              22    16    5.6
1024    2  Gaussian            533   1088  214
1024   64  Gaussian            397   96    66
1024   64  digits              458   378   57
1024  784  rank 8              281   171   49
2048    2  Gaussian            3925  11090 1330
2048   64  digits              2397  3465  313
2048  784  rank 8              1388  1124  261
====  ===  ==================  ====  ====  ====

Cold, the better solver depends on the dimension; warm, the assignment wins everywhere from about
two hundred rows on, so the rule asks for the size alone.

Potentials are not carried over from the batch before. Its rows give potentials of new noise by
their c-transform, which sweeps at the last temperature can improve; either way they are worse than
those of sweeps on the batch itself, and nothing is saved. Milliseconds of CPU time for potentials
and search together, mixtures of ten Gaussians:

====  ===  ============  =======  ===================
   n    d  own batch     carried  carried, then swept
====  ===  ============  =======  ===================
1024    2  31 + 75          193                  134
1024   64  25 + 33          143                   70
1024  784  26 + 28          155                   89
2048    2  152 + 415       1300                  687
====  ===  ============  =======  ===================

What bounds the rest: at d = 2 many assignments cost nearly the same and the search is three
quarters of the time (more sweeps take from it what they cost); at d = 64 and above the sweeps are
half of it, two passes over the costs for each.

A dense augmenting path costs O(n) for every row it visits, so the time of scipy's solver is the
length of its searches. A few Sinkhorn sweeps at falling temperature, in float32, give dual
potentials under which nearly every search ends at once. The optimum is that of the given costs
whatever the potentials are, since subtracting one number from each row and each column of the costs
moves the cost of every permutation by the same amount; so the warm start cannot cost exactness.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from precond_gm_pot.entropic import sweep

__all__ = ["SOLVERS", "assign", "potentials"]

SOLVERS = ("auto", "assignment", "simplex")

WARM_FROM = 192  # rows; below, a cold start is over before the sweeps are
TEMPERATURES = (0.2, 0.02)  # in deviations of the costs
SWEEPS = 20  # at each of them


def assign(
    cost: Tensor, solver: str = "auto", *, warm: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Return, for each row of a square cost, its column in the assignment of least total cost.

    Args:
        cost: Finite costs, data in rows and noise in columns, any device.
        solver: ``"simplex"`` (POT), ``"assignment"`` (scipy), or ``"auto"``: the latter, from warm
            potentials where that pays.
        warm: Finds those potentials of the columns; None takes ``potentials``.

    Returns:
        A permutation, on the device of ``cost``.
    """
    if solver == "simplex":
        columns = _simplex(_on_host(cost))
    elif solver == "assignment" or cost.shape[0] < WARM_FROM:
        columns = _assignment(_on_host(cost))
    else:
        reduced = cost.to(torch.float64) - (warm or potentials)(cost)
        columns = _assignment(_on_host(reduced - reduced.amin(1, keepdim=True)))
    return torch.from_numpy(columns).to(cost.device)


def potentials(
    cost: Tensor,
    *,
    deviation: Tensor | None = None,
    temperatures: tuple[float, ...] = TEMPERATURES,
) -> Tensor:
    """Return a dual potential of each column, approximately optimal, from a few Sinkhorn sweeps.

    Args:
        cost: Costs of an assignment.
        deviation: Unit of the temperatures; None takes the standard deviation of the costs.
        temperatures: Of the sweeps, falling.
    """
    group = cost.to(torch.float32)[None]
    unit = (group.std() if deviation is None else deviation.to(torch.float32))[None]
    column = torch.zeros_like(group[:, 0])
    weight = torch.full_like(column, 1 / cost.shape[0])
    for temperature in temperatures:
        column = sweep(group, weight, column, temperature * unit, sweeps=SWEEPS)
    return column[0]


def _on_host(cost: Tensor) -> NDArray[np.float64]:
    return cost.detach().to("cpu", torch.float64).numpy()


def _assignment(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(cost)[1].astype(np.int64)


def _simplex(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Solve with POT's network simplex; fall back on the assignment if it stopped early.

    POT stops after 100,000 iterations by default, before the optimum from n = 2048 on, and says so
    only in a warning; so the limit is raised and the plan is looked at.
    """
    import ot

    n = cost.shape[0]
    weights = np.full(n, 1.0)
    limit = max(1_000_000, 100 * n * n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its word on an early stop is in the log, and heeded below
        plan, log = ot.emd(weights, weights, cost, numItermax=limit, log=True)
    columns = plan.argmax(1)
    whole = plan.max(1).min() > 0.5 and np.bincount(columns, minlength=n).max() == 1
    if whole and log["warning"] is None:
        return columns.astype(np.int64)
    warnings.warn(
        f"the network simplex returned a plan of mass {plan.sum() / n:.3f} at n = {n} "
        f"({log['warning'] or 'not a permutation'}); solved again as an assignment.",
        RuntimeWarning,
        stacklevel=2,
    )
    return _assignment(cost)
