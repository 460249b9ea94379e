"""Hypotheses of the bounds, on data for which the answer is known."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor

import precond_gm as pg
from precond_gm.diagnostics.assumptions import assumptions
from precond_gm.diagnostics.tails import moments_of, repeated_share, tail_index
from precond_gm.errors import InvalidInputError


def normal(n: int, dim: int, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=source, dtype=torch.float64)


def student(n: int, dim: int, freedom: int) -> Tensor:
    chi = normal(n, freedom, 1).square().sum(1, keepdim=True) / freedom
    return normal(n, dim) / chi.sqrt()


@pytest.mark.parametrize("index", [2.0, 8.0])
def test_tail_index_of_pareto(index: float) -> None:
    """Pareto rows have their exponent as tail index. Oracle: the exponent, over 60 repeats.

    A 95 % interval misses 3 of 60 on average; more than 10 has probability below 0.001.
    """
    missed = 0
    for seed in range(60):
        source = torch.Generator().manual_seed(seed)
        u = torch.rand(5000, 1, generator=source, dtype=torch.float64)
        found = tail_index(u ** (-1 / index))
        missed += not found.low <= index <= found.high
    assert missed <= 10


def test_light_tails_have_no_index() -> None:
    """Uniform rows are bounded: their index is infinite. Oracle: extreme value theory."""
    u = torch.rand(20_000, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert math.isinf(tail_index(u).value)
    assert math.isinf(tail_index(torch.ones(100, 1)).value)


def test_moments_of_a_normal() -> None:
    """In one dimension E z^2p = 1, 3, 15, 105; within 4 jackknife errors."""
    for moment, exact in zip(moments_of(normal(50_000, 1)), (1, 3, 15, 105), strict=True):
        error = (moment.root.high - moment.root.low) / 4
        assert abs(moment.root.value - exact ** (1 / moment.power)) < 4 * error


def test_repeated_values() -> None:
    """Shares counted by hand: 2, 2 | 1, 1, 1 | 5 of 4 rows."""
    rows = torch.tensor([[1.0, 0.0], [1.0, 1.0], [2.0, 2.0], [1.0, 3.0]])
    assert repeated_share(rows).tolist() == [0.75, 0.0]


def test_verdicts() -> None:
    """Heavy tails fail H1, grey levels fail H2, and what is not checkable is said to be so."""
    heavy = assumptions(student(20_000, 2, 3))
    assert heavy["H1"].verdict == "fails"
    grey = assumptions((normal(1000, 2) * 3).round())
    assert grey["H2"].verdict == "fails"
    assert grey["H2 (coupling)"].verdict == "fails"
    assert grey["H3"].verdict == grey["H4"].verdict == "not checkable"
    assert assumptions(normal(1000, 2), coupling="ot")["H2 (coupling)"].verdict == "doubtful"
    assert "finite moments" in str(heavy["H1"])
    assert json.dumps(heavy.to_dict())
    assert heavy.plot().axes


def test_of_a_flow() -> None:
    """With a flow the drift error is bounded and the score is looked at near the data."""
    x = normal(400, 2).float() * 0.5
    flow = pg.wrap(pg.models.MLP(2, width=8, depth=1), path="brownian-bridge")
    flow.fit_preconditioner(x[:200])
    report = assumptions(x[200:], flow=flow)
    assert report.drift_error is not None
    assert report.drift_error.value > 0
    assert report.score_norm is not None
    assert report["H3"].verdict == "holds"
    assert len(report.plot().axes) == 2
    assert "assumptions/drift_error" in report.as_metrics()


def test_score_of_an_untrained_network_is_singular() -> None:
    """x1 = const gives score -(z - t c)/(1 - t^2)...: about (1 - t)^(-1), so growth is near 1.

    Oracle: the conversion formula; an interval wide enough for E|.|^8 on 300 rows.
    """
    x = normal(300, 2).float()
    flow = pg.wrap(pg.models.MLP(2, width=8, depth=1), path="brownian-bridge")
    flow.fit_preconditioner(x)
    with torch.no_grad():
        for parameter in flow.field.parameters():
            parameter.zero_()
    report = assumptions(x, flow=flow)
    assert report.score_growth == pytest.approx(1, abs=0.15)
    assert report["H2"].verdict == "doubtful"


def test_bad_input() -> None:
    """Too few rows, and rows that are not finite."""
    with pytest.raises(InvalidInputError, match="at least 64 rows"):
        assumptions(normal(10, 2))
    with pytest.raises(InvalidInputError, match="nan at row 0"):
        assumptions(torch.full((100, 2), torch.nan))
