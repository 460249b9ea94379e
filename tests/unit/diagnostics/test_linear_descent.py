"""Gradient descent on a linear network: the eigenvalues of Sigma_t against autograd."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from precond_gm.diagnostics import conditioning, linear_descent
from precond_gm.errors import InvalidInputError
from precond_gm.report.conditioning import conditioning_sections

VARIANCES = torch.tensor([1e-4, 0.01, 0.3, 4.0], dtype=torch.float64)
# A mini-batch of 1,024 Gaussian rows estimates a variance within a relative sqrt(2 / 1024) = 0.044,
# and (1 - x)^k moves by at most that much times k x (1 - x)^(k-1) / sqrt(k), below 0.044.
SIX_SIGMA = 6 * 0.044


def gaussian(rows: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 4, generator=draw, dtype=torch.float64) * VARIANCES.sqrt() + 7.0


@pytest.mark.parametrize("path", ["linear", "brownian-bridge", "vp"])
@pytest.mark.parametrize("t", [0.4, 1.0])
def test_eigenvalues_predict_what_descent_leaves(path: str, t: float) -> None:
    """Oracle: autograd, on mini-batches of the path itself; the mean of the data does no harm."""
    report = linear_descent(gaussian(4000), path=path, t=t, steps=(1, 10, 200))
    assert report.gap < SIX_SIGMA
    assert report.measured.shape == (3, 4)
    assert all(math.isfinite(v) for v in report.as_metrics().values())
    assert len(report.plot().axes) == 1


def test_small_directions_are_left_at_the_end() -> None:
    """Oracle: (1 - s / s_max)^100 at t = 1: 0.9975, 0.78, 4e-4, 0."""
    report = linear_descent(gaussian(20_000))
    expected = (1 - VARIANCES / VARIANCES[-1]) ** 100
    torch.testing.assert_close(report.predicted[-1], expected, rtol=0, atol=0.02)
    torch.testing.assert_close(report.measured[-1], expected, rtol=0, atol=SIX_SIGMA)
    assert report.unlearned == 0.5
    # log(100) kappa / 2 steps at the best rate, and 20,000 rows know kappa within a few per cent
    assert report.needed == pytest.approx(math.log(100) * 4e4 / 2, rel=0.1)


def test_a_map_makes_the_directions_alike() -> None:
    """Oracle: a whitened covariance has one eigenvalue: a few steps learn everything."""
    report = linear_descent(gaussian(20_000), preconditioner="whiten")
    assert report.needed < 5
    assert report.unlearned == 0.0


def test_pairs_of_a_coupling_are_used() -> None:
    """Oracle: transport of N(0, I) to a Gaussian straightens: s_t is ((1 - t) + t sigma)^2."""
    x = gaussian(8192)
    report = linear_descent(x, coupling="ot", t=0.5)
    exact = (0.5 + 0.5 * VARIANCES.sqrt()) ** 2
    # pairs of 256 rows reach most of the way from (1 + s) / 4 to the limit in four dimensions
    independent = (1 + VARIANCES) / 4
    assert bool(((report.eigenvalues > independent) & (report.eigenvalues < exact * 1.1)).all())
    assert report.gap < SIX_SIGMA


def test_rows_far_out_make_the_descent_diverge() -> None:
    """Oracle: one row in a hundred makes its direction 1 - 100 / 16 times as wrong when drawn."""
    x = torch.randn(5000, 4, generator=torch.Generator().manual_seed(0)) * 0.1
    x[:, 0] = 0.0
    x[::200, 0], x[100::200, 0] = 7.0, -7.0
    report = linear_descent(x, batch_size=16)
    assert report.has_diverged
    assert report.as_metrics()["linear_descent/has_diverged"] == 1
    sections = conditioning_sections({"as is": conditioning(x)}, descents={"as is": report})
    assert "the descent diverges" in sections[2].lead[0]


def test_a_constant_feature_is_never_learned() -> None:
    """Oracle: an eigenvalue of zero leaves everything, and infinitely many steps are needed."""
    x = gaussian(500)
    x[:, 0] = 3.0
    report = linear_descent(x)
    assert report.needed == math.inf
    assert "linear_descent/steps_needed" not in report.as_metrics()
    torch.testing.assert_close(report.measured[:, 0], torch.ones(3, dtype=torch.float64))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.floats(0.0, 1.0), st.integers(0, 9))
def test_predictions_fall_with_steps_and_with_eigenvalues(dim: int, t: float, seed: int) -> None:
    """Oracle: (1 - s / s_max)^k lies in [0, 1] and falls with s and with k."""
    x = torch.randn(64, dim, generator=torch.Generator().manual_seed(seed))
    report = linear_descent(x, t=t, steps=(1, 3), batch_size=16)
    left = report.predicted
    assert bool(((left >= 0) & (left <= 1)).all())
    assert bool((left[0] >= left[1]).all())
    assert bool((left.diff(dim=1) <= 1e-12).all())


@pytest.mark.parametrize("steps", [(), (0, 1), (5, 5), (10, 1)])
def test_steps_that_do_not_ascend_are_refused(steps: tuple[int, ...]) -> None:
    """Oracle: the message names them."""
    with pytest.raises(InvalidInputError, match="steps ascend from 1 or more"):
        linear_descent(gaussian(50), steps=steps)


def test_bad_rows_and_times_are_refused() -> None:
    """Oracle: position of the NaN; the range of t."""
    x = gaussian(50)
    with pytest.raises(InvalidInputError, match=r"within \[0, 1\]"):
        linear_descent(x, t=1.5)
    x[7, 2] = math.nan
    with pytest.raises(InvalidInputError, match="row 7"):
        linear_descent(x)
