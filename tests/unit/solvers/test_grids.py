"""Grids: shape, ends, identities, options and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import precond_gm as pg
from precond_gm.closed_form import GaussianBridge, GaussianMixtureBridge, PointMassBridge
from precond_gm.errors import InvalidInputError, InvalidTypeError, UnknownNameError
from precond_gm.solvers import estimate_roughness, grids

ROUGH = GaussianBridge(0.0, 1.0, 0.0, 0.05).roughness
OPTIONS = {"path-kl-optimal": {"roughness": ROUGH}}


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(sorted(grids.GRIDS)),
    st.integers(2, 60),
    st.sampled_from([0.6, 0.9, 0.999, 1.0]),
)
def test_every_grid(name: str, steps: int, t_max: float) -> None:
    """N steps are n + 1 increasing float64 times from 0 that end at t_max, or before it.

    Oracle: the contract.
    """
    times = grids.make(name, steps, t_max, **OPTIONS.get(name, {}))
    assert times.dtype == torch.float64
    assert times.shape == (steps + 1,)
    assert float(times[0]) == 0.0
    assert bool((times.diff() > 0).all())
    end = min(t_max, 0.999) if name in ("early-stopping", "geometric") else t_max
    assert float(times[-1]) == pytest.approx(end, abs=1e-12)
    assert float(times[-1]) <= t_max


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 50), st.integers(2, 10))
def test_theorem3_identity(half: int, power: int) -> None:
    """t_k = (t_{k-1} + h) / (1 + h) after t = 1/2, and 1 - t_{M+j} = (1/2)(1 + h)^-j.

    Oracle: the recursion and its solution. Tolerance: rounding.
    """
    delta, h = 0.5**power, 1 / (2 * half)
    times = grids.theorem3(half, delta)
    torch.testing.assert_close(times[: half + 1], torch.arange(half + 1).double() * h)
    if len(times) > half + 1:
        late = times[half:]
        torch.testing.assert_close(late[1:], (late[:-1] + h) / (1 + h))
        nearest = abs(math.log((1 - float(times[-1])) / delta))
        assert nearest <= 0.5 * math.log1p(h) + 1e-9  # the end is the nearest that a step allows


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 200), st.integers(2, 10))
def test_geometric_is_theorem3_with_an_exact_end(steps: int, power: int) -> None:
    """One ratio after 1/2, equal steps before, and nearly the same step size in both.

    Oracle: the definition; where theorem 3 has this very number of steps, its grid.
    """
    delta = 0.5**power
    times = grids.geometric(steps, delta=delta)
    assert float(times[-1]) == 1 - delta
    half = int((times <= 0.5).sum()) - 1
    ratios = (1 - times[half:-1]) / (1 - times[half + 1 :])
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios))
    paper = grids.theorem3(half, delta)
    if len(paper) == len(times):
        assert float((paper - times).abs().max()) < 0.5 / half


def test_optimal_grid_equalises_the_integral() -> None:
    """Steps have equal int sqrt(G) dt. Oracle: quadrature. Tolerance: the mesh, 1e-4."""
    times = grids.path_kl_optimal(10, roughness=ROUGH)
    parts = []
    for a, b in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        t = torch.linspace(a, b, 2001, dtype=torch.float64)
        parts.append(float(torch.trapezoid(ROUGH(t).sqrt(), t)))
    assert max(parts) / min(parts) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("variance", [0.02, 0.2])
def test_optimal_grid_beats_its_neighbours(variance: float) -> None:
    """It minimises the leading order of the path KL. Oracle: the exact path KL of others."""
    bridge = GaussianBridge(0.0, 1.0, 0.0, variance)
    best = float(bridge.path_kl(grids.path_kl_optimal(64, roughness=bridge.roughness)))
    for other in (
        grids.uniform(64),
        grids.edm(64),
        grids.shifted(64),
        grids.shifted(64, shift=0.3),
    ):
        assert best < float(bridge.path_kl(other))


def test_roughness_is_estimated_from_dynamics() -> None:
    """Hutchinson along sampled paths. Oracle: the exact G of a Gaussian bridge.

    Tolerance: 5 standard errors and the bias of 64 Euler-Maruyama steps, 5 %.
    """
    values = torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64)
    bridge = GaussianBridge(0.0, 1.0, 0.0, values)
    source = torch.Generator().manual_seed(0)
    z0 = torch.randn(2048, 3, dtype=torch.float64, generator=source)
    found = estimate_roughness(bridge, z0, diffusion=bridge.sigma, generator=source)
    exact = bridge.roughness(found.times)
    assert bool(((found.value - exact).abs() < 5 * found.standard_error + 0.05 * exact).all())


def test_optimal_grid_from_dynamics_helps() -> None:
    """The estimated grid keeps most of the gain. Oracle: the exact path KL on the exact grid."""
    bridge = GaussianBridge(0.0, 1.0, 0.0, 0.01)
    source = torch.Generator().manual_seed(0)
    z0 = torch.randn(256, 1, dtype=torch.float64, generator=source)
    times = grids.make(
        "path-kl-optimal", 64, dynamics=bridge, z0=z0, diffusion=bridge.sigma, generator=source
    )
    exact = grids.path_kl_optimal(64, roughness=bridge.roughness)
    even = bridge.path_kl(grids.uniform(64))
    assert float(bridge.path_kl(times)) < 1.3 * float(bridge.path_kl(exact)) < 0.5 * float(even)


def test_roughness_of_a_mixture_is_differentiable() -> None:
    """Exact mixtures serve as dynamics of the estimate. Oracle: autograd's full Jacobian."""
    bridge = GaussianMixtureBridge([0.5, 0.5], [[-2.0, 0.0], [2.0, 1.0]], 0.3)
    z = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    jacobian = torch.autograd.functional.jacobian(lambda x: bridge.drift(0.5, x), z)
    step = 1e-6 * torch.eye(2, dtype=torch.float64)
    numeric = torch.stack(
        [(bridge.drift(0.5, z + e) - bridge.drift(0.5, z - e)) / 2e-6 for e in step], 2
    )
    rows = torch.stack([jacobian[i, :, i] for i in range(4)])
    torch.testing.assert_close(rows, numeric, rtol=1e-6, atol=1e-6)


def test_users_own_grids() -> None:
    """A tensor or a callable is a grid. Oracle: the values given."""
    mine = torch.tensor([0.0, 0.1, 0.9])
    assert grids.make(mine).dtype == torch.float64
    squared = grids.make(lambda steps, t_max: grids.uniform(steps, t_max) ** 2, 4)
    torch.testing.assert_close(squared, grids.uniform(4) ** 2)
    assert grids.make("geometric", 12, delta=1 / 16)[-1] == 1 - 1 / 16
    assert grids.make(("geometric", {"delta": 1 / 16}), 12)[-1] == 1 - 1 / 16
    assert grids.make("shifted", 2, shift=1.0).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: grids.make("uniforn"), UnknownNameError, "Did you mean 'uniform'"),
        (lambda: grids.make("uniform", 4, delta=0.1), InvalidTypeError, "no option 'delta'"),
        (lambda: grids.make("geometric", 4, detla=1), InvalidTypeError, "It takes: delta"),
        (lambda: grids.make("uniform", 0), InvalidInputError, "steps is 0"),
        (lambda: grids.make("uniform", 2.5), InvalidInputError, "steps is 2.5"),
        (lambda: grids.make("edm", 1), InvalidInputError, "at least 2"),
        (lambda: grids.make("uniform", 4, 1.5), InvalidInputError, "t_max is 1.5"),
        (lambda: grids.make("geometric", 4, delta=0.7), InvalidInputError, "delta is 0.7"),
        (lambda: grids.make("geometric", 4, 0.3), InvalidInputError, "delta is 0.7"),
        (lambda: grids.make("edm", 4, s_min=90.0), InvalidInputError, "s_min < s_max"),
        (lambda: grids.make("shifted", 4, shift=0.0), InvalidInputError, "shift is 0.0"),
        (lambda: grids.make("path-kl-optimal", 4), InvalidInputError, "needs roughness="),
        (lambda: grids.make(torch.tensor([0.0, 0.9, 0.8])), InvalidInputError, "increase"),
        (lambda: grids.make(torch.tensor([0.0, 1.0]), t_max=0.9), InvalidInputError, "after t_max"),
        (
            lambda: grids.make("path-kl-optimal", 4, roughness=lambda t: 1 - 2 * t),
            InvalidInputError,
            "negative or not finite",
        ),
    ],
)
def test_bad_grids(call, error: type[Exception], text: str) -> None:  # type: ignore[no-untyped-def]
    """Oracle: the error's text."""
    with pytest.raises(error, match=text):
        call()


def test_geometric_needs_a_logarithm_of_steps() -> None:
    """Halving delta adds steps to a uniform grid in proportion, to this one by a constant.

    Oracle: theorem 3, through the exact KL of the point mass.
    """
    bridge = PointMassBridge(0.0)
    for delta in (1 / 8, 1 / 32):
        good, bad = grids.geometric(60, delta=delta), grids.early_stopping(60, delta=delta)
        assert float(bridge.marginal_kl(good)) < float(bridge.marginal_kl(bad))


OWN = [0, 0.25, 1]


@pytest.mark.parametrize(
    "own",
    [OWN, tuple(OWN), np.array(OWN), np.array(OWN, dtype=np.float32), lambda steps, t_max: OWN],
    ids=["list", "tuple", "array", "float32", "function"],
)
def test_times_of_the_user_in_any_container(own: object) -> None:
    """Oracle: the same times as a tensor, which was the only form that worked."""
    assert torch.equal(grids.make(own), torch.tensor(OWN, dtype=torch.float64))
    flow = pg.wrap(pg.models.MLP(2, width=4), event_shape=(2,))
    assert flow.sample(3, grid=own, trajectory=True).trajectory.shape[0] == 3


@pytest.mark.parametrize("own", [[0, [1]], ["0", "a"], lambda steps, t_max: None])
def test_what_is_no_grid_is_refused(own: object) -> None:
    """Oracle: the error's text, which says what is a grid."""
    with pytest.raises(InvalidTypeError, match=r"a grid is a name, .* increasing numbers"):
        grids.make(own)


@pytest.mark.parametrize("name", [name for name in grids.GRIDS if name != "path-kl-optimal"])
def test_numbers_of_numpy_are_numbers(name: str) -> None:
    """Oracle: the grid for the same number as an int."""
    assert torch.equal(grids.make(name, np.int64(4)), grids.make(name, 4))
