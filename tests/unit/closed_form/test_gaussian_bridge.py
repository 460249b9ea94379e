"""The Gaussian bridge over random joint laws: drift, laws of schemes, path KL, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp
from torch import Tensor

from precond_gm.closed_form import DriftError, GaussianBridge, PointMassBridge
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.gaussian import Gaussian
from precond_gm.solvers import EulerMaruyama, grids, integrate

F64 = torch.float64


def joint(dim: int, sigma: float, seed: int, correlation: float = 0.5) -> GaussianBridge:
    """Return a bridge between ends of random means and covariances, conditions up to 100."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=F64, generator=draw)

    roots = []
    for _ in range(2):
        basis = torch.linalg.qr(normal(dim, dim)).Q
        values = torch.logspace(-1, 1, dim, dtype=F64) if dim > 1 else normal(1).exp()
        roots.append((basis * values.sqrt()) @ basis.mT)
    turn = torch.linalg.qr(normal(dim, dim)).Q
    cross = correlation * roots[0] @ turn @ roots[1].mT
    covariances = [root @ root.mT for root in roots]
    return GaussianBridge(
        normal(dim), covariances[0], normal(dim), covariances[1], cross=cross, sigma=sigma
    )


RANDOM = {
    "dim": st.integers(1, 6),
    "sigma": st.floats(0.1, 3.0),
    "seed": st.integers(0, 10_000),
    "correlation": st.sampled_from([-0.999999, -0.5, 0.0, 0.9, 0.999999, 1.0]),
}


def textbook(b: GaussianBridge, t: float, x: Tensor) -> Tensor:
    """b_t(x) = (m1 + K_t (x - m_t) - x) / (1 - t), as the theory prints it."""
    eye = torch.eye(b.dim, dtype=F64)
    s = 1 - t
    mean = s * b.mean0 + t * b.mean1
    sigma_t = s**2 * b.cov0 + t**2 * b.cov1 + t * s * (b.cross + b.cross.mT + b.sigma**2 * eye)
    gain = (s * b.cross.mT + t * b.cov1) @ torch.linalg.inv(sigma_t)
    return (b.mean1 + (x - mean) @ gain.mT - x) / s


@settings(max_examples=50, deadline=None)
@given(**RANDOM, t=st.floats(0.0, 0.95))
def test_drift_is_the_textbook_formula(
    dim: int, sigma: float, seed: int, correlation: float, t: float
) -> None:
    """Oracle: the printed formula. Tolerance: its own rounding, cond(Sigma_t) eps / (1 - t)."""
    bridge = joint(dim, sigma, seed, correlation)
    x = torch.randn(4, dim, dtype=F64, generator=torch.Generator().manual_seed(seed))
    expected = textbook(bridge, t, x)
    torch.testing.assert_close(bridge.drift(t, x), expected, rtol=1e-8, atol=1e-8)


@settings(max_examples=50, deadline=None)
@given(**RANDOM, steps=st.integers(1, 12))
def test_law_of_the_scheme_is_the_plain_recursion(
    dim: int, sigma: float, seed: int, correlation: float, steps: int
) -> None:
    """Mean and covariance recursion with an affine error. Oracle: the recursion on full matrices.

    Tolerance: rounding, amplified by at most the product of the steps' norms.
    """
    bridge = joint(dim, sigma, seed, correlation)
    draw = torch.Generator().manual_seed(seed)
    shift = torch.randn(dim, dtype=F64, generator=draw)
    matrix = torch.randn(dim, dim, dtype=F64, generator=draw)
    times = torch.linspace(0.05, 0.9, steps + 1, dtype=F64)
    mean, covariance = bridge.marginal(0.05)
    eye = torch.eye(dim, dtype=F64)
    for t, h in zip(times[:-1].tolist(), times.diff().tolist(), strict=True):
        slope = torch.stack([textbook(bridge, t, e[None])[0] for e in eye], 1)
        offset = textbook(bridge, t, torch.zeros(1, dim, dtype=F64))[0]
        slope = slope - offset[:, None] + matrix
        forward = eye + h * slope
        mean = forward @ mean + h * (offset + shift)
        covariance = forward @ covariance @ forward.mT + sigma**2 * h * eye
    law = bridge.euler_maruyama_law(times, error=DriftError(shift, matrix))
    scale = float(covariance.abs().max())
    torch.testing.assert_close(law.mean, mean, rtol=1e-7, atol=1e-8 * (1 + scale))
    torch.testing.assert_close(law.covariance, covariance, rtol=1e-7, atol=1e-8 * (1 + scale))


@settings(max_examples=25, deadline=None)
@given(**RANDOM, steps=st.integers(2, 20))
def test_inequalities(dim: int, sigma: float, seed: int, correlation: float, steps: int) -> None:
    """0 <= marginal KL <= path KL (data processing). Oracle: the inequality."""
    bridge = joint(dim, sigma, seed, correlation)
    times = grids.uniform(steps, 0.95)
    marginal, path = float(bridge.marginal_kl(times)), float(bridge.path_kl(times))
    assert -1e-12 <= marginal <= path * (1 + 1e-8)
    law, target = bridge.euler_maruyama_law(times), bridge.marginal(0.95)
    assert float(bridge.marginal_kl(times)) == pytest.approx(float(target.kl(law)), rel=1e-5)
    assert float(bridge.w2(times)) == pytest.approx(float(target.w2(law)), rel=1e-5, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(**RANDOM, steps=st.integers(1, 20))
def test_corrected_endpoint_step_is_exact(
    dim: int, sigma: float, seed: int, correlation: float, steps: int
) -> None:
    """With the posterior covariance the endpoint step has no error, whatever the coupling.

    Given z_t, z1 is drawn from its exact law, and given both the path is a Brownian bridge.
    Oracle: the exact marginal. Tolerance: rounding.
    """
    bridge = joint(dim, sigma, seed, correlation)
    times = grids.uniform(steps)
    law, target = bridge.endpoint_law(times, corrected=True), bridge.marginal(1.0)
    scale = float(target.covariance.abs().max())
    torch.testing.assert_close(law.mean, target.mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(law.covariance, target.covariance, rtol=1e-8, atol=1e-9 * scale)


@settings(max_examples=25, deadline=None)
@given(**RANDOM)
def test_reversed_bridge(dim: int, sigma: float, seed: int, correlation: float) -> None:
    """The backward drift is the drift of the bridge with its ends swapped. Oracle: that bridge."""
    a = joint(dim, sigma, seed, correlation)
    b = GaussianBridge(a.mean1, a.cov1, a.mean0, a.cov0, cross=a.cross.mT, sigma=sigma)
    x = torch.randn(5, dim, dtype=F64, generator=torch.Generator().manual_seed(seed))
    t = torch.linspace(0.1, 0.9, 5, dtype=F64)
    expected = b.drift(1 - t, x)
    torch.testing.assert_close(a.backward_drift(t, x), expected, rtol=1e-8, atol=1e-8)


def test_path_kl_by_an_independent_integrator() -> None:
    """A correlated two-dimensional bridge. Oracle: scipy's DOP853 and adaptive quadrature, 1e-9."""
    bridge, times = joint(2, 0.8, 3, 0.7), torch.tensor([0.0, 0.2, 0.5, 0.9], dtype=F64)
    eye = np.eye(2)

    def gain(t: float) -> np.ndarray:
        rows = torch.cat([torch.zeros(1, 2, dtype=F64), torch.eye(2, dtype=F64)])
        values = bridge.drift(float(t), rows)
        return (values[1:] - values[0]).T.numpy()

    def covariance(t: float) -> np.ndarray:
        return bridge.marginal(float(t)).covariance.numpy()

    total = 0.0
    for a, b in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        flow = solve_ivp(
            lambda t, y: (gain(t) @ y.reshape(2, 2)).ravel(),
            (a, b),
            eye.ravel(),
            method="DOP853",
            rtol=1e-12,
            atol=1e-13,
            dense_output=True,
        ).sol
        frozen, start = gain(a), covariance(a)

        def integrand(t: float, flow=flow, frozen=frozen, start=start) -> float:  # type: ignore[no-untyped-def]
            g, s, phi = gain(t), covariance(t), flow(t).reshape(2, 2)
            both = np.trace(g @ phi @ start @ frozen.T)
            return np.trace(g @ s @ g.T) - 2 * both + np.trace(frozen @ start @ frozen.T)

        total += quad(integrand, a, b, epsabs=1e-12, epsrel=1e-10)[0]
    assert float(bridge.path_kl(times)) == pytest.approx(total / (2 * 0.64), rel=1e-8)


def test_modes_and_full_matrices_agree() -> None:
    """A rotated problem decouples; perturbed beyond rounding it does not. Oracle: each other."""
    basis = torch.linalg.qr(
        torch.randn(5, 5, dtype=F64, generator=torch.Generator().manual_seed(0))
    ).Q
    values = torch.logspace(-2, 1, 5, dtype=F64)
    cov1 = (basis * values) @ basis.mT
    fast = GaussianBridge(0.0, 1.0, torch.ones(5), cov1)
    nudge = torch.zeros(5, 5, dtype=F64)
    nudge[0, 1] = 1e-11
    slow = GaussianBridge(0.0, 1.0, torch.ones(5), cov1, cross=nudge)
    assert fast._moments.blocks.size == 1
    assert slow._moments.blocks.size == 5
    times = grids.uniform(16)
    for name in ("path_kl", "marginal_kl", "w2"):
        a, b = getattr(fast, name)(times), getattr(slow, name)(times)
        torch.testing.assert_close(a, b, rtol=1e-7, atol=0)
    x = torch.randn(6, 5, dtype=F64)
    torch.testing.assert_close(fast.drift(0.7, x), slow.drift(0.7, x), rtol=1e-8, atol=1e-8)
    t = torch.linspace(0, 1, 6, dtype=F64)
    torch.testing.assert_close(fast.drift(t, x), slow.drift(t, x), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(fast.roughness(t), slow.roughness(t), rtol=1e-8, atol=0)


def test_a_thousand_dimensions_are_cheap() -> None:
    """Modes add up. Oracle: the same eigenvalues one at a time. Tolerance: rounding of the sum."""
    values = torch.logspace(-1, 0.5, 300, dtype=F64)
    times = grids.uniform(8)
    whole = GaussianBridge(0.0, 1.0, 0.0, values)
    few = [GaussianBridge(0.0, 1.0, 0.0, float(v)) for v in values[::60]]
    assert whole.dim == 300
    parts = GaussianBridge(0.0, 1.0, 0.0, values[::60])
    total = sum(float(b.path_kl(times)) for b in few)
    assert float(parts.path_kl(times)) == pytest.approx(total, rel=1e-10)
    assert math.isfinite(float(whole.path_kl(times)))


def test_simulated_scheme_has_the_exact_law(device: torch.device) -> None:
    """Euler-Maruyama by the loop against the recursion. Tolerance: 5 standard errors.

    Oracle: the exact law of the scheme, with a drift error.
    """
    bridge, error = joint(2, 1.0, 5), DriftError(0.3, [[0.0, 0.5], [-0.5, 0.1]])
    times, n = grids.uniform(6, 0.9), 40_000
    source = torch.Generator().manual_seed(0)
    z0 = bridge.marginal(0.0).sample(n, generator=source)
    end = integrate(
        error.added_to(bridge), EulerMaruyama(), times, z0, diffusion=1.0, generator=source
    ).final
    law = bridge.euler_maruyama_law(times, error=error)
    off = (end.mean(0) - law.mean) / (law.covariance.diagonal() / n).sqrt()
    assert float(off.abs().max()) < 5
    spread = (2 * law.covariance.diagonal().outer(law.covariance.diagonal()) / n).sqrt()
    assert float(((end.T.cov() - law.covariance) / spread).abs().max()) < 5


def test_ode_law_and_path_kl_without_noise() -> None:
    """Sigma = 0: Euler's law exists, the path KL is infinite. Oracle: Euler on one coordinate."""
    bridge = GaussianBridge(0.0, 1.0, 2.0, 0.25, sigma=0.0)
    law = bridge.euler_maruyama_law(grids.uniform(3))
    two = torch.tensor([[0.0], [1.0]], dtype=F64)
    end = integrate(bridge, EulerMaruyama(), grids.uniform(3), two).final
    expected = Gaussian(end[0], (end[1:] - end[:1]) ** 2)
    torch.testing.assert_close(law.mean, expected.mean)
    torch.testing.assert_close(law.covariance, expected.covariance)
    with pytest.raises(InvalidInputError, match="infinite"):
        bridge.path_kl(grids.uniform(3))


def test_point_mass_marginal() -> None:
    """N(t a, (1-t)(1-t+sigma^2 t) I), and KL infinite at the point itself. Oracle: theory."""
    bridge = PointMassBridge([2.0, -1.0], sigma=1.5)
    law = bridge.marginal(0.75)
    torch.testing.assert_close(law.mean, torch.tensor([1.5, -0.75], dtype=F64))
    variance = 0.25 * (0.25 + 2.25 * 0.75)
    torch.testing.assert_close(law.covariance, variance * torch.eye(2, dtype=F64))
    assert float(bridge.marginal_kl(grids.uniform(8))) == math.inf
    assert torch.equal(bridge.point, torch.tensor([2.0, -1.0], dtype=F64))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0.0, -1.0, 0.0, 1.0), "cov0 is not positive definite: its smallest eigenvalue is -1"),
        ((0.0, 1.0, 0.0, [[1.0, 2.0], [2.0, 1.0]]), "cov1 is not positive definite"),
        ((0.0, 1.0, 0.0, 0.0), "cov1 is not positive definite"),
        ((0.0, 1.0, 0.0, [[1.0, 0.5], [0.0, 1.0]]), "cov1 is not symmetric"),
        ((0.0, 1.0, 0.0, 1.0, 1.1), r"cross is inconsistent .* eigenvalue -0\.21"),
        ((0.0, 1.0, 0.0, 1.0, None, -1.0), "sigma is -1.0"),
        (([0.0, 0.0], 1.0, [0.0, 0.0, 0.0], 1.0), r"different dimensions: \[2, 3\]"),
        (([float("nan")], 1.0, 0.0, 1.0), "mean0 is a finite vector of 1 numbers"),
    ],
)
def test_bad_input(arguments: tuple[object, ...], text: str) -> None:
    """Oracle: the error's text."""
    with pytest.raises(InvalidInputError, match=text):
        GaussianBridge(*arguments)


def test_bad_times() -> None:
    """A decreasing grid; a covariance that degenerates on the way. Oracle: the error's text."""
    bridge = GaussianBridge(0.0, 1.0, 0.0, 1.0)
    with pytest.raises(InvalidInputError, match="has to increase"):
        bridge.marginal_kl(torch.tensor([0.0, 0.7, 0.5]))
    folded = GaussianBridge(0.0, 1.0, 0.0, 1.0, cross=-1.0, sigma=0.0)
    with pytest.raises(InvalidInputError, match=r"singular at t = 0\.5"):
        folded.drift(0.5, torch.zeros(1, 1, dtype=F64))
