"""The warm start never costs exactness, whatever the costs look like."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from precond_gm_pot.assignment import WARM_FROM, assign, potentials


def costs(kind: str, seed: int, n: int = WARM_FROM + 8) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    cost = torch.rand(n, n, generator=draw, dtype=torch.float64)
    if kind == "heavy":
        return cost.reciprocal().square()
    if kind == "ties":
        return (4 * cost).round()
    if kind == "outlier":
        cost[0], cost[:, 1] = 1e6, -1e6
        return cost
    return torch.zeros(n, n, dtype=torch.float64) if kind == "constant" else cost


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(["uniform", "heavy", "ties", "outlier", "constant"]),
    seed=st.integers(0, 99),
)
def test_the_optimum_is_that_of_the_given_costs(kind: str, seed: int) -> None:
    """Oracle: scipy on the costs themselves; ties, heavy tails, outliers, equal costs."""
    cost = costs(kind, seed)
    matrix = cost.numpy()
    best = matrix[linear_sum_assignment(matrix)].sum()
    columns = assign(cost)
    assert sorted(columns.tolist()) == list(range(len(cost)))
    got = cost[torch.arange(len(cost)), columns].sum()
    assert float(got) == pytest.approx(best, rel=1e-9, abs=1e-9)
    assert bool(torch.isfinite(potentials(cost)).all())


def test_potentials_are_nearly_optimal() -> None:
    """Oracle: weak duality; the dual closes 80 % of the gap that row minima leave."""
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(2, 256, 16, generator=draw, dtype=torch.float64)
    cost = torch.cdist(rows[0], rows[1]).square()
    best = cost.numpy()[linear_sum_assignment(cost.numpy())].sum()
    column = potentials(cost).double()
    dual = float((cost - column).amin(1).sum() + column.sum())
    start = float(cost.amin(1).sum())
    assert dual <= best
    assert best - dual < 0.2 * (best - start)
    assert np.isfinite(dual)
