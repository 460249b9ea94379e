"""Gradient noise of objectives: against autograd row by row, and across exchanged laws."""

from __future__ import annotations

import json

import pytest
import torch

import precond_gm as pg
from precond_gm.diagnostics.gradient_noise import moments
from precond_gm.diagnostics.objectives import objectives
from precond_gm.errors import InvalidInputError
from precond_gm.objectives import compose, with_time_law
from precond_gm.objectives.time_laws import Uniform


def small_flow() -> pg.PreconditionedFlow:
    torch.manual_seed(0)
    return pg.wrap(pg.models.MLP(2, width=8, depth=1), event_shape=2)


def rows() -> torch.Tensor:
    return torch.randn(256, 2, generator=torch.Generator().manual_seed(0))


def test_moments_from_inner_products() -> None:
    """Oracle: trace of torch.cov, and ||mean||^2 minus its share of noise. Tolerance: rounding."""
    g = 1 + torch.randn(20, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    square, noise = moments(g @ g.T, torch.ones(20, dtype=torch.bool))
    trace = torch.cov(g.T).diagonal().sum()
    torch.testing.assert_close(noise, trace)
    torch.testing.assert_close(square, g.mean(0).square().sum() - trace / 20)


def test_low_discrepancy_times_lower_the_noise_and_keep_the_gradient() -> None:
    """Oracle: the same law, so one mean gradient, and less variance over the batch.

    Tolerance of the norm: 10 %, of 256 batches of 64 rows.
    """
    report = objectives(
        small_flow(),
        rows(),
        objectives=["velocity", "velocity////uniform:sampling=low-discrepancy"],
        batch_size=64,
        batches=256,
        generator=torch.Generator().manual_seed(1),
    )
    iid, even = report.relative_noise.tolist()
    assert even < iid
    assert float(report.gradient_norm[1] / report.gradient_norm[0]) == pytest.approx(1, abs=0.1)


def test_exchanged_laws_have_one_gradient() -> None:
    """Oracle: w(t) p(t) is kept. Tolerance: 10 % of the norm of 256 batches."""
    flow = small_flow()
    law = ("shifted", {"shift": 2.0})
    first = compose(flow.path, time_law=law)
    report = objectives(
        flow,
        rows(),
        objectives={"law": first, "weight": with_time_law(first, Uniform())},
        batch_size=64,
        batches=256,
        generator=torch.Generator().manual_seed(1),
    )
    assert float(report.gradient_norm[1] / report.gradient_norm[0]) == pytest.approx(1, abs=0.1)
    assert bool(
        (report.low < report.relative_noise).all() & (report.relative_noise < report.high).all()
    )


def test_report_reduces_and_leaves_the_flow_alone() -> None:
    """Oracle: weights and objective of the flow are unchanged after warm-up steps on copies."""
    flow = small_flow()
    before = {k: v.clone() for k, v in flow.state_dict().items()}
    report = objectives(
        flow, rows(), objectives=["velocity", "x1/velocity"], steps=3, batch_size=16, batches=8
    )
    assert all(torch.equal(v, before[k]) for k, v in flow.state_dict().items() if v is not None)
    json.dumps(report.to_dict())
    assert set(report.as_metrics()) == {
        "objectives/velocity/relative_noise",
        "objectives/x1_velocity/relative_noise",
    }
    assert len(report.plot().axes) == 1


def test_too_few_batches_are_refused() -> None:
    """Oracle: a variance of fewer than 8 batches says nothing."""
    with pytest.raises(InvalidInputError, match="8 batches or more"):
        objectives(small_flow(), rows(), objectives=["velocity"], batches=2)
    with pytest.raises(InvalidInputError, match="an objective is"):
        objectives(small_flow(), rows(), objectives=["a/b/c/d/e/f/g"])


def test_exchange_adds_the_twins_that_exist() -> None:
    """Oracle: a flat objective has none; an emphasis that no law has, and one that is learned."""
    report = objectives(
        small_flow(),
        rows(),
        objectives=["velocity", "x1///snr", "x1///min-snr", "////beta", "x1///learned/beta"],
        exchange=True,
        batch_size=16,
        batches=8,
    )
    assert report.names == (
        "velocity",
        "x1///snr",
        "x1///min-snr",
        "x1///min-snr [as time law]",
        "////beta",
        "////beta [as weight]",
        "x1///learned/beta",
    )
