"""What holds for every path: slopes, covariance, antithetic noise, bad input."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import Tensor

from precond_gm import couplings
from precond_gm.errors import IncompatiblePartsError, InvalidInputError
from precond_gm.numerics.covariance import EndCovariance
from precond_gm.paths import (
    REGISTRY,
    AbstractPath,
    BrownianBridge,
    Interpolant,
    LinearPath,
    Trigonometric,
    VariancePreserving,
    Warped,
)
from precond_gm.testing.path import check_path
from precond_gm.values import Pairing, TargetKind

COUPLINGS = couplings.REGISTRY.names()
MORE = [
    Warped(lambda t: t**3),
    VariancePreserving(signal=lambda t: torch.sin(math.pi / 2 * t)),
    Interpolant(variance="brownian"),
    Interpolant(variance="quadratic", antithetic=True),
    Interpolant(lambda t: (1 - t) ** 2, lambda t: t**2, lambda t: 0.3 * t * (1 - t)),
    BrownianBridge(0.3),
]


def gen(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(n: int, seed: int) -> Tensor:
    return torch.randn(n, 3, dtype=torch.float64, generator=gen(seed))


@functools.cache
def paired(coupling: str) -> Pairing:
    """Pair twelve rows of three labels; a coupling that is fitted is fitted once for all paths."""
    part, label = couplings.REGISTRY.create(coupling), torch.arange(12) % 3
    part.fit(rows(12, 1), label, generator=gen(3))
    return part.pair(rows(12, 0), rows(12, 1), label, generator=gen(4))


@pytest.mark.parametrize("path", MORE, ids=lambda part: type(part).__name__)
def test_options_keep_the_contract(path: AbstractPath) -> None:
    """Oracle: autograd, exact ends, repeatability; see check_path."""
    check_path(path)


@pytest.mark.parametrize("coupling", COUPLINGS)
@pytest.mark.parametrize(
    "path", [*map(REGISTRY.create, REGISTRY.names()), *MORE], ids=lambda part: type(part).__name__
)
def test_velocity_is_the_slope_of_the_sampled_path(path: AbstractPath, coupling: str) -> None:
    """Oracle: central differences of z_t under the same noise.

    Tolerance: step^2 times the third derivative (below 1e5 here) plus rounding over the step.
    """
    pair = paired(coupling)
    t, step = torch.linspace(0.1, 0.9, 12, dtype=torch.float64), 1e-6
    ahead, behind = (path.sample(pair, t + s, generator=gen(2)).z_t for s in (step, -step))
    sample = path.sample(pair, t, target=TargetKind.VELOCITY, generator=gen(2))
    torch.testing.assert_close((ahead - behind) / (2 * step), sample.target, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.4, math.sqrt(2)])
def test_drift_of_the_bridge_is_the_slope_of_its_mean(sigma: float) -> None:
    """Oracle: the mean of z_{t+h} given z_t and the ends, from the joint Gaussian of the bridge.

    ``E[z_{t+h} | z_t] = m_{t+h} + Cov(z_{t+h}, z_t)/Var(z_t) (z_t - m_t)`` with
    ``Cov = sigma^2 s (1 - t)`` for s < t: the forward difference of it, order h.
    """
    path, h = BrownianBridge(sigma), 1e-6
    pair, t = Pairing(rows(9, 0), rows(9, 1)), torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    sample = path.sample(pair, t, generator=gen(3))
    s, later = t[:, None], t[:, None] + h
    gap = sample.z_t - ((1 - s) * pair.z0 + s * pair.z1)
    gain = (s * (1 - later)) / (s * (1 - s))
    mean = (1 - later) * pair.z0 + later * pair.z1 + gain * gap
    torch.testing.assert_close((mean - sample.z_t) / h, sample.target, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("correlation", [0.0, 0.8, -0.6])
@pytest.mark.parametrize(
    "path", [*map(REGISTRY.create, REGISTRY.names())], ids=lambda part: type(part).__name__
)
def test_covariance_from_moments_is_the_sampled_one(path: AbstractPath, correlation: float) -> None:
    """Oracle: the covariance of 60,000 sampled points, couplings with C != 0 included.

    Tolerance: seven standard errors of a sample covariance, below 7 sqrt(2/n) times a variance.
    """
    n, t = 60_000, 0.37
    mix = torch.tensor([[1.0, 0.5, 0.0], [0.0, 2.0, 0.3], [0.2, 0.0, 0.5]], dtype=torch.float64)
    z0 = rows(n, 0)
    z1 = (correlation * z0 + (1 - correlation**2) ** 0.5 * rows(n, 1)) @ mix.T + 1
    ends = EndCovariance(mix @ mix.T, torch.eye(3, dtype=torch.float64), correlation * mix.T)
    times = torch.full((n,), t, dtype=torch.float64)
    z_t = path.sample(Pairing(z0, z1), times, generator=gen(2)).z_t
    exact = path.covariance(times[:1], ends)[0]
    tolerance = 7 * (2 / n) ** 0.5 * float(exact.diagonal().max())
    torch.testing.assert_close(torch.cov(z_t.T), exact, rtol=0, atol=tolerance)


def test_antithetic_rows_mirror_their_noise() -> None:
    """Oracle: the mean of the two points is the noiseless point; ends, labels and times agree."""
    path = Interpolant(variance="brownian", antithetic=True)
    pair = Pairing(rows(4, 0), rows(4, 1), torch.arange(4), torch.ones(4))
    t = torch.tensor([0.0, 0.2, 0.6, 1.0], dtype=torch.float64)
    got = path.sample(pair, t, generator=gen(0))
    middle = (got.z_t[:4] + got.z_t[4:]) / 2
    torch.testing.assert_close(middle, (1 - t[:, None]) * pair.z0 + t[:, None] * pair.z1)
    assert torch.equal(got.t, torch.cat((t, t)))
    assert got.label is not None
    assert got.label.tolist() == [0, 1, 2, 3] * 2
    assert got.weight is not None
    assert got.weight.shape == (8,)


def test_antithetic_noise_removes_the_variance_near_the_end() -> None:
    """Oracle: the gradient of a linear predictor at t -> 0, where gamma' eps is unbounded.

    The mean over a pair of ``target * f(z_t)`` is free of the unbounded term at leading order: its
    deviation must fall at least ten times at t = 1e-4.
    """
    t = torch.full((2000,), 1e-4, dtype=torch.float64)
    pair = Pairing(rows(2000, 0), rows(2000, 1))
    plain = Interpolant(variance="brownian").sample(pair, t, generator=gen(1))
    twice = Interpolant(variance="brownian", antithetic=True).sample(pair, t, generator=gen(1))
    one = (plain.target * plain.z_t.tanh()).sum(1)
    two = (twice.target * twice.z_t.tanh()).sum(1).reshape(2, -1).mean(0)
    assert float(two.std()) < float(one.std()) / 10


@pytest.mark.parametrize("name", REGISTRY.names())
def test_times_exactly_zero_give_finite_targets(name: str) -> None:
    """Oracle: finiteness; uniform times in float32 are exactly 0 once in 2^24 draws."""
    path = REGISTRY.create(name)
    pair = Pairing(torch.ones(2, 3), -torch.ones(2, 3))
    for target in (path.kind, path.default_prediction):
        sample = path.sample(pair, torch.zeros(2), target=target, generator=gen(0))
        assert bool(torch.isfinite(sample.target).all())


@pytest.mark.parametrize("name", REGISTRY.names())
def test_rows_keep_their_dtype(name: str) -> None:
    """Oracle: bfloat16 rows stay bfloat16 with float32 times, float32 rows with float64 times."""
    path = REGISTRY.create(name)
    for dtype, times in ((torch.bfloat16, torch.float32), (torch.float32, torch.float64)):
        pair = Pairing(torch.ones(2, 3, dtype=dtype), torch.zeros(2, 3, dtype=dtype))
        sample = path.sample(pair, torch.full((2,), 0.5, dtype=times), generator=gen(0))
        assert sample.z_t.dtype is dtype
        assert sample.target.dtype is dtype


def test_shapes_are_checked() -> None:
    """Oracle: the error's text shows the three shapes and what to write."""
    pair = Pairing(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(
        InvalidInputError, match=r"\(3, 2\) and \(\)\. For one time, write t.expand"
    ):
        LinearPath().sample(pair, torch.tensor(0.5))
    with pytest.raises(InvalidInputError, match=r"got \(3, 2\), \(2, 2\)"):
        LinearPath().sample(Pairing(torch.zeros(3, 2), torch.zeros(2, 2)), torch.zeros(2))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Warped(lambda t: t / 2), "schedule is 0 at t = 0 and 1 at t = 1; got 0 and 0.5"),
        (lambda: VariancePreserving(signal=lambda t: 1 - t), "got 1 and 0. Shift and scale it"),
        (lambda: VariancePreserving(rate_min=3, rate_max=2), "0 < rate_min < rate_max; got 3"),
        (lambda: VariancePreserving(t_max=0), "t_max is a number in"),
        (lambda: Interpolant(variance="sines"), "one of sine, brownian, quadratic or a function"),
        (lambda: Interpolant(alpha=lambda t: t), "alpha is 1 at t = 0 and 0 at t = 1; got 0"),
        (lambda: Interpolant(variance=lambda t: t), "variance is 0 at t = 0 and 0 at t = 1"),
    ],
)
def test_bad_schedules_are_refused(make: object, text: str) -> None:
    """Oracle: the error's text says what was got and what is wanted."""
    assert callable(make)
    with pytest.raises(InvalidInputError, match=text):
        make()


def test_drift_of_an_ode_path_with_noise_is_refused() -> None:
    """Oracle: the error's text."""
    pair = Pairing(rows(2, 0), rows(2, 1))
    with pytest.raises(IncompatiblePartsError, match="drift is not defined on Interpolant"):
        Interpolant().sample(pair, torch.full((2,), 0.5).double(), target=TargetKind.DRIFT)


def test_the_default_vp_schedule_is_ddpm_up_to_scale() -> None:
    """Oracle: DDPM's signal exp(-s^2 19.9/4 - s/20), shifted and scaled to [0, 1], by numpy."""
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    raw = torch.exp(-((1 - t) ** 2) * 19.9 / 4 - (1 - t) * 0.05)
    c = VariancePreserving().coefficients(t)
    torch.testing.assert_close(c.beta, (raw - raw[0]) / (1 - raw[0]))
    torch.testing.assert_close(c.alpha**2 + c.beta**2, torch.ones_like(t))


def test_trigonometric_covariance_is_the_identity_for_white_ends() -> None:
    """Oracle: cos^2 + sin^2 = 1."""
    eye = torch.eye(2, dtype=torch.float64)
    sigma = Trigonometric().covariance(torch.rand(5).double(), EndCovariance(eye, eye))
    torch.testing.assert_close(sigma, eye.expand(5, 2, 2))
