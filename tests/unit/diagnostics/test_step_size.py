"""The step-size study against exact values."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from precond_gm.closed_form import DriftError, GaussianBridge, GaussianMixtureBridge
from precond_gm.diagnostics import StepSizeReport, step_size
from precond_gm.diagnostics.step_size import compare_step_sizes
from precond_gm.errors import InvalidInputError
from precond_gm.solvers import grids

UNIT = GaussianBridge(0.0, 1.0, 0.0, 1.0)
CORRELATED = GaussianBridge(
    torch.zeros(2),
    torch.eye(2),
    torch.tensor([1.0, -0.5]),
    torch.tensor([[0.5, 0.2], [0.2, 2.0]]),
    cross=torch.tensor([[0.4, 0.0], [0.1, 0.5]]),
    sigma=0.8,
)


@pytest.fixture(scope="module")
def report() -> StepSizeReport:
    return step_size(GaussianBridge(0.0, 1.0, 0.0, 0.05), num_samples=1024)


def z_scores(report: StepSizeReport, name: str) -> Tensor:
    return (report.quantities[name] - report.exact[name]) / report.standard_errors[name]


@pytest.mark.parametrize("name", ["path_kl", "w2", "marginal_kl"])
def test_exact_values(report: StepSizeReport, name: str) -> None:
    """Within 4 standard errors of the closed form at variance 0.05 (seed fixed)."""
    assert bool((z_scores(report, name).abs() < 4).all())


@pytest.mark.parametrize("grid", ["uniform", "geometric", "path-kl-optimal", "edm"])
def test_steps_need_not_divide(grid: str) -> None:
    """Coupled ends, other noise, odd numbers of steps, any grid: 4.5 standard errors."""
    found = step_size(CORRELATED, steps=(6, 10, 15), grid=grid, num_samples=512)
    for name in ("path_kl", "w2", "marginal_kl"):
        assert bool((z_scores(found, name).abs() < 4.5).all()), name


@settings(max_examples=6, deadline=None)
@given(
    st.lists(st.integers(2, 24), min_size=1, max_size=3, unique=True),
    st.floats(0.2, 3.0),
    st.floats(0.4, 1.6),
    st.sampled_from(("uniform", "geometric", "path-kl-optimal", "edm")),
)
def test_any_steps_grid_and_noise(
    counts: list[int], variance: float, sigma: float, grid: str
) -> None:
    """Path KL within 5 standard errors for any step list and grid. Oracle: the closed form."""
    bridge = GaussianBridge(0.0, 1.0, 0.0, variance, sigma=sigma)
    found = step_size(bridge, steps=counts, num_samples=256, grid=grid)
    assert found.steps == tuple(sorted(counts))
    assert bool((z_scores(found, "path_kl").abs() < 5).all())


def test_parts_of_the_drift_error() -> None:
    """``b' = 1.1 b``, N = 8: 0.03549 against 0.0025 + 0.02999 (theory, section 3); 4 errors."""
    error = DriftError(matrix=-0.1)
    found = step_size(
        error.added_to(UNIT), reference=UNIT, steps=(8,), num_samples=2048, num_reference=2048
    )
    expected = {"path_kl": 0.03549, "drift": 0.0025, "discretisation": 0.02999, "cross": 0.0030}
    for name, value in expected.items():
        gap = float(found.quantities[name][0]) - value
        assert abs(gap) < 4 * float(found.standard_errors[name][0]) + 1e-5, name
    assert found.path_kl_bound is not None
    assert float(found.path_kl_bound[0]) > float(found.quantities["path_kl"][0])


def test_own_process_agrees_with_the_exact_one() -> None:
    """The same drift as a bare callable, on few rows with a control, gives the closed form.

    At the finest step itself the process is known to about h / 2 = 0.8 %, beside 4 errors.
    """
    found = step_size(
        lambda t, z, label=None: UNIT(t, z),
        source=torch.randn(4096, 1, generator=torch.Generator().manual_seed(1)).double(),
        steps=(8, 16, 32, 64),
        t_max=1.0,
    )
    assert found.num_reference < 400
    exact = torch.stack([UNIT.path_kl(grids.uniform(n)) for n in found.steps])
    gap = (found.quantities["path_kl"] - exact).abs()
    assert bool((gap < 4 * found.standard_errors["path_kl"] + 0.01 * exact).all())


def test_slopes_are_within_their_intervals(report: StepSizeReport) -> None:
    """Fitted slopes against the same fit of exact values; three standard errors wide intervals."""
    log_h = report.h.log() - report.h.log().mean()
    for name, exact in report.exact.items():
        oracle = float((exact.log() * log_h).sum() / log_h.square().sum())
        slope = report.slopes[name]
        half = 1.5 * (slope.high - slope.value)
        assert abs(slope.value - oracle) < half, name


@pytest.mark.parametrize(
    ("name", "wanted"), [("path_kl", 0.1), ("path_kl", 0.03), ("w2", 0.02), ("marginal_kl", 1e-2)]
)
def test_recommended_steps_keep_their_promise(
    report: StepSizeReport, name: str, wanted: float
) -> None:
    """The exact error at the recommended number of steps is what was wanted, without waste.

    Oracle: the closed form, and its least number of steps by search; half as many again is allowed,
    since the upper end of an interval and the least slope nearby are promised.
    """
    bridge = GaussianBridge(0.0, 1.0, 0.0, 0.05)
    exact = {"path_kl": bridge.path_kl, "w2": bridge.w2, "marginal_kl": bridge.marginal_kl}[name]
    found = report.recommend(**{name: wanted})
    assert float(exact(grids.uniform(found.steps))) <= wanted
    assert float(exact(grids.uniform(max(1, int(found.steps / 1.5) - 1)))) > wanted


def test_recommendation_counts_the_drift_error() -> None:
    """With a drift part of 0.0025 nothing below is promised, and the promise holds above it."""
    error = DriftError(matrix=-0.1)
    found = step_size(
        error.added_to(UNIT), reference=UNIT, steps=(8, 16, 32), num_samples=2048,
        num_reference=2048,
    )  # fmt: skip
    with pytest.raises(InvalidInputError, match="error of the drift alone"):
        found.recommend(path_kl=0.002)
    steps = found.recommend(path_kl=0.02).steps
    assert float(UNIT.path_kl(grids.uniform(steps), error=error)) <= 0.02


def test_what_cannot_be_recommended(report: StepSizeReport) -> None:
    """Unknown names, senseless values and impossible wishes are refused with the next step."""
    with pytest.raises(InvalidInputError, match="was not measured"):
        report.recommend(fid=1.0)
    with pytest.raises(InvalidInputError, match="positive number"):
        report.recommend(path_kl=-1.0)
    with pytest.raises(InvalidInputError, match="say which error"):
        report.recommend()
    with pytest.raises(InvalidInputError, match="another grid"):
        report.recommend(w2=1e-9)


def test_one_step_size_has_no_slope() -> None:
    """Errors yes, slopes no, and it is said."""
    found = step_size(UNIT, steps=(8,), num_samples=64)
    assert math.isnan(float(found.slopes["path_kl"]))
    assert any("no slopes" in note for note in found.notes)


def test_ode_has_no_path_divergence() -> None:
    """On the linear path only distances exist; W2 of Euler is the closed form's, 4 errors."""
    bridge = GaussianBridge(0.0, 1.0, 0.0, 0.25, sigma=0.0)
    found = step_size(bridge, steps=(4, 8, 16), num_samples=512)
    assert found.path_kl is None
    assert bool((z_scores(found, "w2").abs() < 4).all())
    assert any("no noise" in note for note in found.notes)


def test_mixture_is_compared_with_its_own_process() -> None:
    """Where the law is no Gaussian, W2 is to the exact process, below the strong error.

    The divergence of the ends is there too; its oracle is in test_step_size_density.py.
    """
    bridge = GaussianMixtureBridge([0.5, 0.5], [[-1.0], [1.0]], 0.3)
    found = step_size(bridge, steps=(8, 32), num_samples=512)
    assert found.marginal_kl is not None
    slack = 3 * found.standard_errors["w2"]
    assert bool((found.w2 < found.strong_error * 1.5 + slack).all())


def test_report_views(report: StepSizeReport) -> None:
    """Metrics are finite floats, the dictionary is JSON, the series has the steps as keys."""
    assert all(math.isfinite(v) for v in report.as_metrics().values())
    assert set(report.series()) == set(report.steps)
    back = json.loads(json.dumps(report.to_dict()))
    assert back["steps"] == list(report.steps)
    assert len(report.plot().axes) == 4


def test_comparison(report: StepSizeReport) -> None:
    """A report against itself has ratio 1 everywhere; plots and metrics exist."""
    both = compare_step_sizes({"a": report, "b": report}, is_paired=True)
    assert all(e.value == e.low == e.high == 1 for e in both.ratio("b").values())
    assert both.recommend(path_kl=0.1)[0] == "a"
    assert both.series()[8]["b/step_size/w2"] == report.series()[8]["step_size/w2"]
    assert json.dumps(both.to_dict())
    assert both.plot().axes
    with pytest.raises(InvalidInputError, match="two studies"):
        compare_step_sizes({"a": report})


def test_same_seed_same_study() -> None:
    """The generator is the only source of randomness. Oracle: equality."""
    runs = [
        step_size(
            lambda t, z, label=None: -z,
            steps=(4, 8),
            num_samples=64,
            source=torch.zeros(2, 1),
            generator=torch.Generator().manual_seed(5),
        ).quantities
        for _ in range(2)
    ]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
