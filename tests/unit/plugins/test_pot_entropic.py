"""Entropic and unbalanced transport against POT, limits, and the Gaussian closed form."""

from __future__ import annotations

import math
import warnings

import numpy as np
import ot
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm_pot import Exact, Sinkhorn, Unbalanced


def gen(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(n: int, dim: int, seed: int) -> Tensor:
    return torch.randn(n, dim, generator=gen(seed), dtype=torch.float64)


def costs(z0: Tensor, z1: Tensor) -> np.ndarray:
    return ((z1[:, None] - z0[None]) ** 2).sum(-1).numpy()


@pytest.mark.parametrize("epsilon", [0.3, 0.06])
@pytest.mark.parametrize("dim", [1, 30])
def test_plan_equals_pot(epsilon: float, dim: int) -> None:
    """Oracle: POT's log-domain Sinkhorn, on the unscaled cost. Tolerance: both stopping rules."""
    z0, z1 = rows(40, dim, 0), rows(40, dim, 1) + 0.5
    plan = Sinkhorn(epsilon, tolerance=1e-9, max_sweeps=20_000).plan(z0, z1)
    cost = costs(z0, z1)
    uniform = np.full(40, 1 / 40)
    oracle = ot.sinkhorn(
        uniform,
        uniform,
        cost,
        epsilon * cost.mean(),
        method="sinkhorn_log",
        numItermax=100_000,
        stopThr=1e-10,
    )
    np.testing.assert_allclose(plan.conditional.numpy() / 40, oracle, atol=1e-8)
    assert plan.marginal_error <= 1e-9


@pytest.mark.parametrize("rho", [0.05, 1.0, 20.0])
def test_unbalanced_plan_equals_pot(rho: float) -> None:
    """Oracle: POT's unbalanced Sinkhorn on the unscaled cost. Tolerance: both stopping rules."""
    z0, z1 = rows(30, 3, 0), rows(30, 3, 1) * 2
    plan = Unbalanced(0.1, rho, tolerance=1e-10, max_sweeps=50_000).plan(z0, z1)
    cost = costs(z0, z1)
    uniform = np.full(30, 1 / 30)
    oracle = ot.unbalanced.sinkhorn_unbalanced(
        uniform,
        uniform,
        cost,
        0.1 * cost.mean(),
        rho * cost.mean(),
        numItermax=100_000,
        stopThr=1e-13,
    )
    assert plan.mass is not None
    got = plan.conditional * plan.mass[:, None] / 30
    np.testing.assert_allclose(got.numpy(), oracle / oracle.sum(), atol=1e-7)


def test_unbalanced_tends_to_sinkhorn() -> None:
    """Oracle: the balanced plan, as the price of a violation grows. Tolerance: of order 1/rho."""
    z0, z1 = rows(30, 2, 0), rows(30, 2, 1)
    balanced = Sinkhorn(0.1, tolerance=1e-6, max_sweeps=20_000).plan(z0, z1)
    plan = Unbalanced(0.1, 1e3, tolerance=1e-6).plan(z0, z1)
    assert plan.mass is not None
    torch.testing.assert_close(plan.mass, torch.ones_like(plan.mass), atol=3e-3, rtol=0)
    torch.testing.assert_close(plan.conditional, balanced.conditional, atol=3e-3, rtol=0)


def test_sinkhorn_tends_to_the_exact_plan() -> None:
    """Oracle: the exact permutation, as epsilon goes to 0; entropy to 0. And the product above."""
    z0, z1 = rows(12, 2, 0), rows(12, 2, 1)
    cold, hot = Sinkhorn(1e-3).plan(z0, z1), Sinkhorn(1e4).plan(z0, z1)
    assert torch.equal(z0[cold.conditional.argmax(1)], Exact().pair(z0, z1).z0)
    assert cold.partners < 1.2
    assert hot.partners == pytest.approx(12, rel=1e-3)


@pytest.mark.parametrize("sigma", [0.5, 1.0, math.sqrt(2)])
def test_gaussian_schroedinger_bridge(sigma: float) -> None:
    """Oracle: covariance (sqrt(4 + sigma^4) - sigma^2)/2 of the entropic plan of N(0,1) and N(0,1).

    Tolerance: 2 %, for 400 quantiles instead of the continuous law.
    """
    z = torch.from_numpy(norm.ppf((np.arange(400) + 0.5) / 400))[:, None]
    z = z / z.square().mean().sqrt()
    plan = Sinkhorn(2 * sigma**2, relative=False, tolerance=1e-6).plan(z, z)
    covariance = float((plan.conditional @ z * z).mean())
    assert covariance == pytest.approx((math.sqrt(4 + sigma**4) - sigma**2) / 2, rel=0.02)


def test_drawn_pairs_have_the_entropic_covariance() -> None:
    """Oracle: the same closed form, from pairs of 40 batches of 256; five standard errors."""
    sigma, draw = math.sqrt(2), gen(0)
    coupling = Sinkhorn(2 * sigma**2, relative=False)
    pairs = [
        coupling.pair(rows(256, 1, 2 * k), rows(256, 1, 2 * k + 1), generator=draw)
        for k in range(40)
    ]
    products = torch.stack([(p.z0 * p.z1).mean() for p in pairs])
    error = float(products.std()) / 40**0.5
    exact = (math.sqrt(4 + sigma**4) - sigma**2) / 2
    assert float(products.mean()) == pytest.approx(exact, abs=5 * error + 0.01)


def test_drawing_is_unbiased() -> None:
    """Oracle: frequencies of 10,000 drawings against the plan; six standard errors."""
    plan = Sinkhorn(0.3).plan(rows(5, 2, 0), rows(5, 2, 1))
    draw = gen(0)
    drawn = torch.stack([plan.draw(draw) for _ in range(10_000)])
    counts = torch.stack([(drawn == j).double().mean(0) for j in range(5)], 1)
    torch.testing.assert_close(counts, plan.conditional, rtol=0, atol=6 * 0.5 / 10_000**0.5)


@pytest.mark.parametrize("dim", [2, 784])
def test_rounding_gives_a_permutation_near_the_optimum(dim: int) -> None:
    """Oracle: every noise row once, and at most 2 % more cost than exact, at epsilon = 0.01."""
    z0, z1 = rows(64, dim, 0).float(), rows(64, dim, 1).float()
    got = Sinkhorn(0.01, pairs="round").pair(z0, z1)
    assert torch.equal(got.z0.sort(0).values, z0.sort(0).values)
    best = (Exact().pair(z0, z1).z0 - z1).square().sum()
    assert float((got.z0 - z1).square().sum()) <= 1.02 * float(best)


@pytest.mark.parametrize("dim", [784])
def test_default_epsilon_means_the_same_in_many_dimensions(dim: int) -> None:
    """Oracle: mass one and no NaN, where an absolute 0.05 gives a plan of zeros."""
    plan = Sinkhorn().plan(rows(64, dim, 0).float(), rows(64, dim, 1).float() * 3)
    torch.testing.assert_close(plan.conditional.sum(1), torch.ones(64))
    assert plan.marginal_error < 1e-3
    assert 1 < plan.partners < 64


def test_a_marginal_error_above_tolerance_is_said() -> None:
    """Oracle: the warning names the error, the tolerance and the way out."""
    with pytest.warns(RuntimeWarning, match="above the tolerance 1e-09. Raise epsilon"):
        Sinkhorn(1e-3, tolerance=1e-9, max_sweeps=1).plan(rows(40, 2, 0), rows(40, 2, 1))


def test_an_unbalanced_plan_that_is_not_done_is_said() -> None:
    """Oracle: the violation against the tolerance; more sweeps, or a higher epsilon, end it."""
    z0, z1 = rows(60, 2, 0).float(), rows(60, 2, 1).float()
    with pytest.warns(RuntimeWarning, match=r"^Unbalanced: .* above the tolerance 0.001. Raise"):
        Unbalanced(1e-5, 100.0, max_sweeps=50).plan(z0, z1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Unbalanced().plan(z0, z1)


@pytest.mark.parametrize("scale", [1e-15, 1e25])
def test_float32_extremes(scale: float) -> None:
    """Oracle: the plan at scale 1; squares of these entries leave the range of float32."""
    z0, z1 = rows(20, 4, 0).float(), rows(20, 4, 1).float()
    plain, scaled = (Sinkhorn().plan(z0 * s, z1 * s).conditional for s in (1.0, scale))
    torch.testing.assert_close(plain, scaled, atol=1e-3, rtol=0)


def test_identical_rows() -> None:
    """Oracle: a constant cost gives the uniform plan, without NaN."""
    same = torch.ones(6, 3)
    torch.testing.assert_close(Sinkhorn().plan(same, same).conditional, torch.full((6, 6), 1 / 6))
    assert torch.isfinite(Unbalanced().pair(same, same, generator=gen(0)).weight).all()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Sinkhorn(0.0), "epsilon is a finite number above 0; got 0"),
        (lambda: Sinkhorn(pairs="all"), "pairs is 'sample' or 'round'; got 'all'"),
        (lambda: Sinkhorn(tolerance=2.0), r"tolerance is a number in \(0, 1\]; got 2"),
        (lambda: Unbalanced(rho=math.inf), "rho is a finite number above 0; got inf"),
    ],
)
def test_bad_options_are_refused(make: object, text: str) -> None:
    """Oracle: the error's text."""
    assert callable(make)
    with pytest.raises(InvalidInputError, match=text):
        make()


@pytest.mark.parametrize("name", ["sinkhorn", "unbalanced"])
def test_labels_solved_together_are_solved_as_one_by_one(name: str) -> None:
    """Oracle: the same coupling on each label's rows alone; padding must change nothing.

    Tolerance: the stopping rule, 1e-9 in total variation.
    """
    make = {"sinkhorn": Sinkhorn, "unbalanced": Unbalanced}[name]
    part = make(tolerance=1e-9, max_sweeps=20_000)
    label = torch.tensor([0] * 7 + [1] * 20 + [2] * 5 + [3] * 30 + [4])[
        torch.randperm(63, generator=gen(9))
    ]
    z0, z1 = rows(63, 3, 0), rows(63, 3, 1) + 3 * label[:, None]
    found = []
    for some, plans in part._solved(z0, z1, label):
        for k, count in enumerate(some.counts):
            mine, law = some.index[k, :count], plans.conditional[k, :count, :count]
            assert len(set(label[mine].tolist())) == 1
            found.append(int(label[mine[0]]))
            alone = part.plan(z0[mine], z1[mine])
            torch.testing.assert_close(law, alone.conditional, atol=1e-7, rtol=0)
            if alone.mass is not None:
                assert plans.mass is not None
                mass = plans.mass[k, :count]
                torch.testing.assert_close(mass, alone.mass, atol=1e-6, rtol=0)
    assert sorted(found) == list(range(5))
