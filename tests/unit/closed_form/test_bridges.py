"""Every exact bridge against autograd of its density, continuity and its definition."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from precond_gm.closed_form import (
    AbstractBridge,
    BinaryBridge,
    EmpiricalBridge,
    GaussianBridge,
    GaussianMixtureBridge,
    PointMassBridge,
)
from precond_gm.errors import InvalidInputError, InvalidTypeError
from precond_gm.values import Dynamics

F64 = torch.float64


def _covariance(dim: int, seed: int) -> Tensor:
    root = torch.randn(dim, dim, dtype=F64, generator=torch.Generator().manual_seed(seed))
    return root @ root.mT + 0.1 * torch.eye(dim, dtype=F64)


def _joint(sigma: float) -> GaussianBridge:
    """A joint law whose blocks share nothing, so that the general branch runs."""
    whole = _covariance(6, 1)
    return GaussianBridge(
        torch.tensor([0.5, -1.0, 0.0]),
        whole[:3, :3],
        torch.tensor([2.0, 0.0, -1.0]),
        whole[3:, 3:],
        cross=whole[:3, 3:],
        sigma=sigma,
    )


def _mixture(sigma: float) -> GaussianMixtureBridge:
    means = torch.tensor([[2.0, 0.0, 1.0], [-2.0, 1.0, 0.0], [0.0, -3.0, 0.5]])
    covariances = torch.stack([_covariance(3, k) for k in range(3)])
    return GaussianMixtureBridge([0.5, 0.2, 0.3], means, covariances, sigma=sigma)


def _data(rows: int = 7) -> Tensor:
    return torch.randn(rows, 3, dtype=F64, generator=torch.Generator().manual_seed(5))


BRIDGES: dict[str, Callable[[], AbstractBridge]] = {
    "gaussian": lambda: GaussianBridge(0.0, 1.0, torch.ones(3), _covariance(3, 0)),
    "joint gaussian": lambda: _joint(math.sqrt(2)),
    "joint gaussian, small sigma": lambda: _joint(0.1),
    "gaussian, linear": lambda: _joint(0.0),
    "mixture": lambda: _mixture(math.sqrt(2)),
    "mixture, sigma 0.5": lambda: _mixture(0.5),
    "mixture, linear": lambda: _mixture(0.0),
    "point": lambda: PointMassBridge([1.0, -0.5, 2.0]),
    "point, sigma 1": lambda: PointMassBridge([1.0, -0.5, 2.0], sigma=1.0),
    "binary": lambda: BinaryBridge(dim=3),
    "binary, linear": lambda: BinaryBridge(sigma=0.0, dim=3),
    "empirical": lambda: EmpiricalBridge(_data()),
    "empirical, sigma 1": lambda: EmpiricalBridge(_data(), sigma=1.0),
}


@pytest.fixture(params=BRIDGES.values(), ids=BRIDGES)
def bridge(request: pytest.FixtureRequest) -> AbstractBridge:
    return request.param()


@pytest.fixture
def points() -> Tensor:
    return 1.5 * torch.randn(20, 3, dtype=F64, generator=torch.Generator().manual_seed(9))


TIMES = torch.linspace(0.02, 0.97, 20, dtype=F64)  # one per row


def test_a_bridge_is_a_dynamics(bridge: AbstractBridge, points: Tensor) -> None:
    """Calling it gives the drift. Oracle: the protocol and the method."""
    assert isinstance(bridge, Dynamics)
    assert torch.equal(bridge(TIMES, points, None), bridge.drift(TIMES, points))
    assert bridge.diffusion == bridge.sigma
    assert repr(bridge) == f"{type(bridge).__name__}(dim=3, sigma={bridge.sigma:.4g})"


def test_score_is_the_gradient_of_the_log_density(bridge: AbstractBridge, points: Tensor) -> None:
    """Oracle: autograd. Tolerance: rounding at the density's condition number (up to 1e4)."""
    z = points.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(bridge.log_density(TIMES, z).sum(), z)
    torch.testing.assert_close(bridge.score(TIMES, points), gradient, rtol=1e-9, atol=1e-9)


def test_velocity_obeys_the_continuity_equation(bridge: AbstractBridge, points: Tensor) -> None:
    """d/dt log p + div v + v . grad log p = 0. Oracle: autograd of the density in t and z."""
    t = TIMES.clone().requires_grad_()
    z = points.clone().requires_grad_()
    slope_t, slope_z = torch.autograd.grad(bridge.log_density(t, z).sum(), (t, z))
    velocity = bridge.velocity(TIMES, z)
    trace = sum(
        torch.autograd.grad(velocity[:, i].sum(), z, retain_graph=True)[0][:, i] for i in range(3)
    )
    residual = slope_t + trace + (velocity * slope_z).sum(1)
    scale = 1 + slope_t.abs() + trace.abs()
    assert float((residual / scale).detach().abs().max()) < 1e-9


def test_identities_between_the_quantities(bridge: AbstractBridge, points: Tensor) -> None:
    """Forward + backward drift = sigma^2 score, and the definitions. Oracle: theory, section 1."""
    t = TIMES.unsqueeze(1)
    drift, score = bridge.drift(TIMES, points), bridge.score(TIMES, points)
    close = {"rtol": 1e-9, "atol": 1e-9}
    backward = bridge.backward_drift(TIMES, points)
    torch.testing.assert_close(drift + backward, bridge.sigma**2 * score, **close)
    velocity = drift - bridge.sigma**2 / 2 * score
    torch.testing.assert_close(bridge.velocity(TIMES, points), velocity, **close)
    mean1, mean0 = bridge.posterior_mean(TIMES, points), bridge.posterior_mean0(TIMES, points)
    if bridge.sigma:
        torch.testing.assert_close(drift, (mean1 - points) / (1 - t), **close)
        torch.testing.assert_close(backward, (mean0 - points) / t, **close)
    else:
        torch.testing.assert_close(drift, mean1 - mean0, **close)
    noise = -(bridge.sigma**2) * t * (1 - t) * score  # gamma E[eps | z]
    torch.testing.assert_close((1 - t) * mean0 + t * mean1 + noise, points, **close)


def test_one_time_and_a_time_per_row_agree(bridge: AbstractBridge, points: Tensor) -> None:
    """Shared times take a shorter way. Oracle: the same call row by row."""
    for when in (0.25, torch.tensor(0.25), torch.tensor(0.25).expand(20)):
        shared = bridge.drift(when, points)
        each = bridge.drift(torch.full((20,), 0.25, dtype=F64), points)
        torch.testing.assert_close(shared, each, rtol=1e-10, atol=1e-10)
    one = torch.cat([bridge.drift(TIMES[i : i + 1], points[i : i + 1]) for i in range(20)])
    torch.testing.assert_close(bridge.drift(TIMES, points), one, rtol=1e-10, atol=1e-10)


def test_events_and_dtypes(bridge: AbstractBridge, points: Tensor) -> None:
    """Any event shape; the result has the dtype of z. Oracle: the flat float64 call."""
    flat = bridge.drift(0.4, points)
    shaped = bridge.drift(0.4, points.reshape(20, 1, 3, 1))
    assert torch.equal(shaped, flat.reshape(20, 1, 3, 1))
    single = bridge.drift(torch.tensor(0.4), points.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), flat, rtol=1e-3, atol=1e-3)


def test_marginal_samples(bridge: AbstractBridge) -> None:
    """Draws of z_t have the score's zero mean and Stein's identity. Tolerance: 5 sigma of a mean.

    Oracle: E[score] = 0 and E[z score^T] = -I under the marginal.
    """
    law = bridge.marginal(0.6)
    z = law.sample(20_000, generator=torch.Generator().manual_seed(2))
    assert torch.isfinite(law.log_prob(z)).all()
    score = bridge.score(0.6, z)
    stein = z.unsqueeze(2) * score.unsqueeze(1)
    for draws, value in ((score, torch.zeros(3)), (stein, -torch.eye(3))):
        error = (draws.mean(0) - value).abs() / (draws.std(0) / math.sqrt(len(z)))
        assert float(error.max()) < 5


def test_bad_times_and_shapes(bridge: AbstractBridge, points: Tensor) -> None:
    """Wrong times and rows are named. Oracle: the error's text."""
    bad = TIMES.clone()
    bad[3] = 1.2
    with pytest.raises(InvalidInputError, match=r"t is 1.2 at row 3; times lie in \[0, 1\]"):
        bridge.drift(bad, points)
    with pytest.raises(InvalidInputError, match="times lie in"):
        bridge.velocity(float("nan"), points)
    with pytest.raises(InvalidInputError, match=r"one per row of shape \(20,\)"):
        bridge.drift(torch.zeros(3), points)
    with pytest.raises(InvalidInputError, match="of 3 coordinates"):
        bridge.drift(0.5, points[:, :2])


QUANTITIES = ("marginal", "posterior_covariance", "roughness", "logit", "log_density", "sample")


@pytest.mark.parametrize("t", [-0.1, 2.0, math.nan])
def test_no_quantity_exists_outside_the_path(
    bridge: AbstractBridge, points: Tensor, t: float
) -> None:
    """A covariance of -3 at t = 2 was given. Oracle: the error's text."""
    more = {"logit": (points,), "log_density": (points,), "sample": (4,)}
    for quantity in QUANTITIES:
        method = getattr(bridge, quantity, None)
        if method is not None:
            with pytest.raises(InvalidInputError, match=r"times lie in \[0, 1\]"):
                method(t, *more.get(quantity, ()))


def test_densities_have_the_dtype_of_the_rows(bridge: AbstractBridge, points: Tensor) -> None:
    """Oracle: the float64 call, at float32 resolution."""
    single, double = bridge.log_density(0.4, points.float()), bridge.log_density(0.4, points)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)


def test_integer_rows_are_refused(bridge: AbstractBridge, points: Tensor) -> None:
    """Their results would be cut to integers. Oracle: the text says what to write."""
    with pytest.raises(InvalidTypeError, match=r"got torch\.int64\. Write z\.float\(\)"):
        bridge.drift(0.5, points.long())
    with pytest.raises(InvalidTypeError, match=r"got ndarray\. Write torch\.as_tensor"):
        bridge.log_density(0.5, points.numpy())


@pytest.mark.parametrize("name", ["point", "binary", "empirical"])
def test_the_law_at_the_end_has_no_density(name: str, points: Tensor) -> None:
    """It was +inf or NaN everywhere. Oracle: the error's text."""
    for density in (
        BRIDGES[name]().log_density,
        lambda t, z: BRIDGES[name]().marginal(t).log_prob(z),
    ):
        with pytest.raises(InvalidInputError, match=r"no density|density does not exist"):
            density(1.0, points)


def test_bits_have_no_preference_at_zero() -> None:
    """At t = 1 the logit is 0 / 0 there. Oracle: symmetry; the sign elsewhere."""
    z = torch.tensor([[0.0, 0.3, -1e-6]])
    assert torch.equal(BinaryBridge(dim=3).posterior_mean(1.0, z), z.sign())


@pytest.mark.parametrize("name", ["point", "binary", "empirical"])
def test_singular_end_is_refused(name: str, points: Tensor) -> None:
    """A drift without a limit at t = 1 is refused by name. Oracle: the error's text."""
    with pytest.raises(InvalidInputError, match="singular"):
        BRIDGES[name]().drift(1.0, points)


@pytest.mark.parametrize("name", ["gaussian", "joint gaussian", "mixture"])
def test_drift_at_the_end_is_finite_and_continuous(name: str, points: Tensor) -> None:
    """With a density the drift exists at t = 1. Oracle: its limit from the left, error O(1e-7)."""
    bridge = BRIDGES[name]()
    before, end = bridge.drift(1 - 1e-8, points), bridge.drift(1.0, points)
    torch.testing.assert_close(before, end, rtol=1e-5, atol=1e-5)


def test_bridges_on_the_device(device: torch.device) -> None:
    """The same numbers where the tensors are. Oracle: the host."""
    z = torch.randn(8, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    whole = _covariance(3, 1)
    for make in (
        lambda d: GaussianBridge(0.0, 1.0, torch.ones(3, device=d), whole.to(d)),
        lambda d: GaussianMixtureBridge([1.0, 1.0], torch.ones(2, 3, device=d), 0.5),
        lambda d: EmpiricalBridge(_data().to(d)),
        lambda d: PointMassBridge(torch.ones(3, device=d)),
    ):
        there = make(device).drift(0.5, z.to(device))
        assert there.device.type == device.type
        torch.testing.assert_close(there.cpu(), make("cpu").drift(0.5, z))
