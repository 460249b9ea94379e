"""Exact assignment: which noise row each data row gets, and which solver finds it fastest."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["SOLVERS", "assign"]

SOLVERS = ("auto", "simplex", "assignment")


def assign(cost: Tensor, solver: str = "auto", *, dim: int) -> Tensor:
    """Return, for each column of a square cost, its row in the assignment of least total cost.

    Args:
        cost: Costs, rows for noise and columns for data, any device.
        solver: One of ``SOLVERS``.
        dim: Dimension of the points behind the cost; ``"auto"`` chooses by it.

    Returns:
        A permutation, on the device of ``cost``.
    """
    matrix = cost.detach().to("cpu", torch.float64).numpy()
    if solver == "auto":
        solver = "simplex" if dim <= 3 else "assignment"
    rows = _simplex(matrix) if solver == "simplex" else _assignment(matrix)
    return torch.from_numpy(rows).to(cost.device)


def _assignment(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(cost.T)[1].astype(np.int64)


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
    rows = plan.argmax(0)
    whole = plan[rows, np.arange(n)].min() > 0.5 and np.bincount(rows, minlength=n).max() == 1
    if whole and log["warning"] is None:
        return rows.astype(np.int64)
    warnings.warn(
        f"the network simplex returned a plan of mass {plan.sum() / n:.3f} at n = {n} "
        f"({log['warning'] or 'not a permutation'}); solved again as an assignment.",
        RuntimeWarning,
        stacklevel=2,
    )
    return _assignment(cost)
