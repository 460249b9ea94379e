"""Gradient noise of objectives: against autograd row by row, and across exchanged laws."""

from __future__ import annotations

import json
import math

import pytest
import torch

import precond_gm as pg
from precond_gm.diagnostics.gradient_noise import compare, moments
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
        flow,
        rows(),
        objectives=["velocity", "x1/x1"],
        steps=3,
        batch_size=64,
        batches=32,
        generator=torch.Generator().manual_seed(0),
    )
    assert all(torch.equal(v, before[k]) for k, v in flow.state_dict().items() if v is not None)
    json.dumps(report.to_dict())
    assert set(report.as_metrics()) == {
        "objectives/velocity/relative_noise",
        "objectives/x1_x1/relative_noise",
    }
    assert len(report.plot().axes) == 1
    assert bool(report.is_resolved.all())


def gaussian_batches(ratio: float, seed: int, batches: int = 16) -> torch.Tensor:
    """Inner products of gradients in 50 dimensions with noise 1 over signal 1 / ratio."""
    g = torch.Generator().manual_seed(seed)
    noise = torch.randn(batches, 50, generator=g, dtype=torch.float64) / 50**0.5
    noise[:, 0] += (1 / ratio) ** 0.5
    return noise @ noise.T


def test_pure_noise_is_not_a_result() -> None:
    """Oracle: without signal the ratio is infinite, so that any finite lower bound is right.

    At 1.96 errors a signal is found by chance in 2.5 % of draws, less in a jackknife of so small a
    signal (it doubles the variance): 5 of 200 at most.
    """
    found = [compare(torch.zeros(()), gaussian_batches(1e300, seed)) for seed in range(200)]
    unresolved = [one for one in found if not torch.isfinite(one.relative)]
    assert len(unresolved) >= 195
    assert all(0 < float(one.low) < 1e3 and float(one.high) == math.inf for one in unresolved)


@pytest.mark.parametrize("ratio", [0.5, 4.0, 16.0])
def test_intervals_and_lower_bounds_hold(ratio: float) -> None:
    """Oracle: the ratio of the Gaussian drawn. Tolerance: 95 % less 5 % for 16 batches, 200 draws.

    Where the signal is not resolved the bound is one-sided, and counts as an interval to infinity.
    """
    found = [compare(torch.zeros(()), gaussian_batches(ratio, seed)) for seed in range(200)]
    inside = [float(one.low) <= ratio <= float(one.high) for one in found]
    assert sum(inside) >= 0.9 * 200


def test_a_signal_that_is_not_resolved_is_said_in_words() -> None:
    """Oracle: a network at its optimum has no mean gradient: data at one point, zero velocity."""
    torch.manual_seed(0)
    net = pg.models.MLP(2, width=8, depth=1)
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    flow = pg.wrap(net, event_shape=2)
    flow.fit_preconditioner(rows())
    centred = rows() - rows().mean(0)
    report = objectives(
        flow,
        centred,
        objectives=["velocity"],
        batch_size=32,
        batches=8,
        generator=torch.Generator().manual_seed(3),
    )
    (text,) = report.noise_texts()
    assert text == f"signal not resolved, at least {float(report.low):.3g}"
    assert report.as_metrics() == {}
    assert json.dumps(report.to_dict()["relative_noise"]) == "[null]"
    assert report.to_dict()["high"] == ["inf"]
    assert len(report.plot().axes[0].containers) == 2  # the resolved ones, and the arrow


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
