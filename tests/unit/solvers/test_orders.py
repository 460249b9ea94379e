"""Orders of convergence, on exact bridges, against the exact flow and the exact law."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from precond_gm.closed_form import GaussianBridge, PointMassBridge
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.brownian import Brownian
from precond_gm.solvers import (
    RK4,
    AbstractSolver,
    Endpoint,
    Euler,
    EulerMaruyama,
    Heun,
    Midpoint,
    StochasticHeun,
    at_noise_level,
    grids,
    integrate,
    reverse_time,
)
from precond_gm.testing.solver import scheme_law

F64 = torch.float64


def logistic(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
    """Nonlinear in z, time-dependent, and solved by logit z = logit z0 + t + t^2 / 2."""
    return z * (1 - z) * (1 + t[:, None])


@pytest.mark.parametrize(
    ("solver", "order"), [(Euler(), 1), (Heun(), 2), (Midpoint(), 2), (RK4(), 4)]
)
def test_ode_order(solver: AbstractSolver, order: int) -> None:
    """Oracle: the exact solution. Tolerance: 10 % of the order at 64 and 128 steps."""
    z0 = torch.linspace(0.1, 0.6, 6, dtype=F64)[:, None]
    exact = torch.sigmoid(torch.logit(z0) + 1.5)
    errors = [
        float(
            (integrate(logistic, solver, grids.uniform(n), z0).final - exact).square().sum().sqrt()
        )
        for n in (64, 128)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, rel=0.1)


@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_ode_follows_the_probability_flow(sigma: float) -> None:
    """The velocity carries the source to the data. Oracle: the monotone map. Tolerance: RK4."""
    bridge = GaussianBridge(0.0, 1.0, 1.0, 0.3, sigma=sigma)
    z0 = torch.linspace(-2, 2, 9, dtype=F64)[:, None]
    end = integrate(bridge.velocity, RK4(), grids.uniform(64), z0).final
    torch.testing.assert_close(end, 1 + math.sqrt(0.3) * z0, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("solver", "order"), [(EulerMaruyama(), 1), (StochasticHeun(), 2), (Endpoint(), 1)]
)
def test_weak_order(solver: AbstractSolver, order: int) -> None:
    """W2 of the law of the scheme, exact for affine drifts. Tolerance: 15 % at 64, 128 steps.

    Oracle: the exact marginal; the endpoint step's h log(1/h) is cut off by stopping at 0.9.
    """
    bridge = GaussianBridge(0.5, 1.0, -1.0, 0.4, cross=0.3)
    target = bridge.marginal(0.9)
    errors = [float(target.w2(scheme_law(solver, bridge, n))) for n in (64, 128)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, rel=0.15)


def test_strong_order_on_one_path() -> None:
    """Additive noise: Euler-Maruyama has strong order 1. Oracle: 1024 steps on the same path.

    Tolerance: 15 % of the order.
    """
    bridge = GaussianBridge(0.0, 1.0, 1.0, 0.5)
    source = torch.Generator().manual_seed(0)
    z0 = torch.randn(500, 1, dtype=F64, generator=source)
    fine = Brownian.draw(grids.uniform(1024), z0, generator=source)

    def end(steps: int) -> Tensor:
        times = grids.uniform(steps)
        return integrate(
            bridge,
            EulerMaruyama(),
            times,
            z0,
            diffusion=bridge.sigma,
            noise=fine.coarsen(times),
        ).final

    exact = end(1024)
    errors = [float((end(n) - exact).square().mean().sqrt()) for n in (16, 32)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.15)


def test_endpoint_step_has_the_law_of_the_formula() -> None:
    """Plain and corrected. Oracle: the recursion of the closed form. Tolerance: rounding."""
    bridge = GaussianBridge(0.5, 1.0, -1.0, 0.3, cross=0.2)
    times = grids.uniform(16, 0.9)

    def variance(t: Tensor, z: Tensor, label: Tensor | None) -> Tensor:
        return bridge.posterior_covariance(t[0])[0].expand_as(z)

    def covariance(t: Tensor, z: Tensor, label: Tensor | None) -> Tensor:
        return bridge.posterior_covariance(t[:1])

    for solver, corrected in (
        (Endpoint(), False),
        (Endpoint(posterior_variance=variance), True),
        (Endpoint(posterior_variance=covariance), True),
    ):
        found, exact = (
            scheme_law(solver, bridge, 16),
            bridge.endpoint_law(times, corrected=corrected),
        )
        torch.testing.assert_close(found.mean, exact.mean)
        torch.testing.assert_close(found.covariance, exact.covariance)


def test_endpoint_step_lands_on_points() -> None:
    """At t = 1 no noise is left: point-like targets are hit. Oracle: the point itself."""
    bridge = PointMassBridge([1.0, -2.0])
    z0 = torch.randn(10, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    source = torch.Generator().manual_seed(1)
    end = integrate(
        bridge, Endpoint(), grids.uniform(8), z0, diffusion=bridge.sigma, generator=source
    ).final
    torch.testing.assert_close(end, bridge.point.expand(10, 2))


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0, 2.5])
def test_any_noise_level_has_the_same_marginals(level: float) -> None:
    """The SDE (v + e score) dt + sqrt(2e) dB ends in the target. Tolerance: 5 standard errors + h.

    Oracle: mean and variance of the data.
    """
    bridge = GaussianBridge(0.0, 1.0, 2.0, 0.5)
    noisy = at_noise_level(bridge.velocity, bridge.score, level)
    assert noisy.diffusion == math.sqrt(2 * level)
    source = torch.Generator().manual_seed(0)
    n = 20_000
    z0 = torch.randn(n, 1, dtype=F64, generator=source)
    end = integrate(
        noisy.dynamics,
        StochasticHeun(),
        grids.uniform(32),
        z0,
        diffusion=noisy.diffusion,
        generator=source,
    ).final
    assert abs(float(end.mean()) - 2) < 5 * math.sqrt(0.5 / n) + 0.01
    assert abs(float(end.var()) - 0.5) < 5 * 0.5 * math.sqrt(2 / n) + 0.01
    with pytest.raises(InvalidInputError, match="noise level is -1"):
        at_noise_level(bridge.velocity, bridge.score, -1)


def test_backward_drift_runs_from_data_to_noise() -> None:
    """The reversed SDE turns data into the source. Tolerance: 5 standard errors + O(h).

    Oracle: the source's mean and variance.
    """
    bridge, n = GaussianBridge(0.5, 1.0, 2.0, 0.5, cross=0.4), 20_000
    source = torch.Generator().manual_seed(0)
    z1 = bridge.marginal(1.0).sample(n, generator=source)
    end = integrate(
        reverse_time(bridge.backward_drift),
        StochasticHeun(),
        grids.uniform(32),
        z1,
        diffusion=bridge.sigma,
        generator=source,
    ).final
    assert abs(float(end.mean()) - 0.5) < 5 / math.sqrt(n) + 0.01
    assert abs(float(end.var()) - 1) < 5 * math.sqrt(2 / n) + 0.01


def test_backward_velocity() -> None:
    """The ODE is undone by running its negative backwards. Oracle: the start. Tolerance: RK4."""
    bridge = GaussianBridge(0.0, 1.0, 2.0, 0.5)
    z0 = torch.linspace(-2, 2, 5, dtype=F64)[:, None]
    there = integrate(bridge.velocity, RK4(), grids.uniform(64), z0).final
    back = reverse_time(lambda t, z, label=None: -bridge.velocity(t, z, label))
    again = integrate(back, RK4(), grids.uniform(64), there).final
    torch.testing.assert_close(again, z0, rtol=1e-6, atol=1e-6)
