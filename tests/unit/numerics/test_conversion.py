"""Every cell of the table of conversions, against identities, closed forms and autograd."""

from __future__ import annotations

import functools
import math
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from precond_gm.errors import IncompatiblePartsError
from precond_gm.numerics.conversion import check_conversion, conversion
from precond_gm.paths import REGISTRY, AbstractPath, BrownianBridge, LinearPath
from precond_gm.values import Pairing, TargetKind

X1, X0, NOISE = TargetKind.X1, TargetKind.X0, TargetKind.NOISE
VELOCITY, DRIFT, SCORE = TargetKind.VELOCITY, TargetKind.DRIFT, TargetKind.SCORE
PATHS = REGISTRY.names()
INTERIOR = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)


@functools.cache
def defined(path: AbstractPath, gaussian_source: bool) -> list[tuple[TargetKind, TargetKind]]:
    """List the ordered pairs of kinds that convert into each other on a path."""
    c = path.coefficients(INTERIOR)
    cells = []
    for have, want in permutations(TargetKind, 2):
        try:
            check_conversion(c, have, want, gaussian_source=gaussian_source)
        except IncompatiblePartsError:
            continue
        cells.append((have, want))
    return cells


def test_which_cells_exist() -> None:
    """Oracle: the algebra by hand: two unknowns and z_t on ODE paths, three with noise."""
    ode, bridge = LinearPath(), BrownianBridge()
    assert set(defined(ode, False)) == set(permutations([X1, X0, VELOCITY], 2))
    assert set(defined(ode, True)) == set(permutations([X1, X0, VELOCITY, SCORE], 2))
    without = {(X1, DRIFT), (DRIFT, X1), (NOISE, SCORE), (SCORE, NOISE)}
    assert set(defined(bridge, False)) == without
    assert set(defined(bridge, True)) == set(permutations(TargetKind, 2))


@pytest.mark.parametrize("name", PATHS)
def test_conversions_hold_pair_by_pair(name: str) -> None:
    """Oracle: the targets that the path itself computes from (z0, z1, eps).

    A conversion that needs no law of the ends holds for each triple, not only on average.
    Tolerance: float64 at times where the largest factor is below 1e3.
    """
    path = REGISTRY.create(name)
    rows = [torch.randn(10, 4, dtype=torch.float64, generator=gen(k)) for k in range(2)]
    cells = defined(path, False)
    assert cells
    for have, want in cells:
        one, two = (
            path.sample(Pairing(*rows), INTERIOR, target=kind, generator=gen(2))
            for kind in (have, want)
        )
        got = conversion(one.coefficients, have, want)(one.target, one.z_t)
        torch.testing.assert_close(got, two.target, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", PATHS)
def test_conversions_of_gaussian_means(name: str) -> None:
    """Oracle: Gaussian conditioning, the score by autograd of the density, and the flow's slope.

    z0 ~ N(0, 1) and z1 ~ N(m, s^2), independent. Tolerance: float64, factors below 1e3.
    """
    path, m, s = REGISTRY.create(name), 0.7, 1.6
    c = path.coefficients(INTERIOR)
    z = torch.linspace(-2, 3, 10, dtype=torch.float64).requires_grad_()
    variance = c.alpha**2 + c.beta**2 * s**2 + c.variance
    gap = z - c.beta * m
    log_density = -0.5 * gap**2 / variance - 0.5 * variance.log()
    (score,) = torch.autograd.grad(log_density.sum(), z)
    slope = 2 * (c.alpha * c.alpha_slope + c.beta * c.beta_slope * s**2) + c.variance_slope
    means = {
        X1: m + c.beta * s**2 / variance * gap,
        X0: c.alpha / variance * gap,
        SCORE: score,
        VELOCITY: c.beta_slope * m + slope / (2 * variance) * gap,
    }
    if path.has_noise:
        means[NOISE] = c.variance.sqrt() / variance * gap
    if path.kind is DRIFT:
        means[DRIFT] = means[VELOCITY] + path.diffusion**2 / 2 * score
    cells = defined(path, True)
    assert set(cells) == set(permutations(means, 2))
    for have, want in cells:
        got = conversion(c, have, want, gaussian_source=True)(means[have], z)
        torch.testing.assert_close(got, means[want], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("path", [LinearPath(), BrownianBridge()])
def test_conversions_of_coin_means(path: AbstractPath) -> None:
    """Oracle: a target that is not Gaussian, +-1 with a fair coin; score by autograd.

    ``E[z1 | x] = tanh(t x / c)`` with c the variance of z_t given z1 (2602.10420).
    """
    t = INTERIOR
    c = path.coefficients(t)
    spread = (1 - t) ** 2 + path.diffusion**2 * t * (1 - t)
    z = torch.linspace(-1.5, 1.5, 10, dtype=torch.float64).requires_grad_()
    parts = torch.stack([-((z - sign * t) ** 2) / (2 * spread) for sign in (-1.0, 1.0)])
    (score,) = torch.autograd.grad(parts.logsumexp(0).sum(), z)
    x1 = (t * z / spread).tanh()
    from_x1 = conversion(c, X1, SCORE, gaussian_source=True)(x1, z)
    from_score = conversion(c, SCORE, X1, gaussian_source=True)(score, z)
    torch.testing.assert_close(from_x1, score)
    torch.testing.assert_close(from_score, x1)


def test_table_of_the_linear_path() -> None:
    """Oracle: v = (x1 - x)/(1 - t) = (x - x0)/t and the weights of the table prediction x loss."""
    t = INTERIOR
    c = LinearPath().coefficients(t)
    weights = {
        (X1, VELOCITY): 1 / (1 - t) ** 2,
        (X1, X0): (t / (1 - t)) ** 2,
        (VELOCITY, X1): (1 - t) ** 2,
        (VELOCITY, X0): t**2,
        (X0, X1): ((1 - t) / t) ** 2,
        (X0, VELOCITY): 1 / t**2,
    }
    for (have, want), weight in weights.items():
        torch.testing.assert_close(conversion(c, have, want).scale ** 2, weight)


@pytest.mark.parametrize(
    ("path", "have", "want", "limit"),
    [
        (LinearPath(), X1, VELOCITY, (1.0, -1.0)),
        (LinearPath(), VELOCITY, X1, (1.0, 1.0)),
        (LinearPath(), VELOCITY, X0, (0.0, 1.0)),
        (LinearPath(), X0, SCORE, (-1.0, 0.0)),
        (LinearPath(), SCORE, X0, (-1.0, 0.0)),
        (BrownianBridge(1.5), X1, DRIFT, (1.0, -1.0)),
        (BrownianBridge(1.5), DRIFT, X1, (1.0, 1.0)),
        (BrownianBridge(1.5), X1, X0, (0.0, 1.0)),
        (BrownianBridge(1.5), X1, SCORE, (0.0, -1.0)),
        (BrownianBridge(1.5), X1, NOISE, (0.0, 0.0)),
        (BrownianBridge(1.5), DRIFT, VELOCITY, (1.0, 1.5**2 / 2)),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exact_at_the_start(
    path: AbstractPath,
    have: TargetKind,
    want: TargetKind,
    limit: tuple[float, float],
    dtype: torch.dtype,
) -> None:
    """Oracle: the limit at t = 0 by hand; times exactly 0 are drawn in float32."""
    c = path.coefficients(torch.zeros(1, dtype=dtype))
    got = conversion(c, have, want, gaussian_source=True)
    assert (float(got.scale), float(got.shift)) == pytest.approx(limit, abs=1e-6)


@pytest.mark.parametrize(
    ("path", "have", "want", "gaussian_source"),
    [
        (LinearPath(), VELOCITY, X1, False),
        (LinearPath(), X0, X1, False),
        (LinearPath(), SCORE, X1, True),
        (BrownianBridge(), DRIFT, X1, False),
        (BrownianBridge(), DRIFT, X1, True),
        (BrownianBridge(), SCORE, X1, True),
    ],
)
def test_x1_is_known_at_the_end(
    path: AbstractPath, have: TargetKind, want: TargetKind, gaussian_source: bool
) -> None:
    """Oracle: z_1 = z1, so scale 0 and shift 1, although the drift itself is infinite there."""
    got = conversion(path.coefficients(torch.ones(1)), have, want, gaussian_source=gaussian_source)
    assert float(got.scale) == pytest.approx(0.0, abs=1e-17)
    assert float(got.shift) == 1.0


@settings(max_examples=50, deadline=None)
@given(
    t=st.one_of(
        st.floats(2**-24, 0.5, width=32),
        st.floats(0.5, 1 - 2**-24, width=32),
        st.sampled_from([2**-24, 2**-20, 1 - 2**-20, 1 - 2**-24]),
    ),
    name=st.sampled_from(PATHS),
    gaussian_source=st.booleans(),
)
def test_float32_keeps_its_digits(t: float, name: str, gaussian_source: bool) -> None:
    """Oracle: float64 at the same time. Tolerance: 100 eps(float32), however large the factor."""
    path = REGISTRY.create(name)
    fine = path.coefficients(torch.tensor([t], dtype=torch.float64))
    coarse = path.coefficients(torch.tensor([t], dtype=torch.float32))
    for have, want in defined(path, gaussian_source):
        exact = conversion(fine, have, want, gaussian_source=gaussian_source)
        got = conversion(coarse, have, want, gaussian_source=gaussian_source)
        torch.testing.assert_close(got.scale.double(), exact.scale, rtol=1.2e-5, atol=1e-6)
        torch.testing.assert_close(got.shift.double(), exact.shift, rtol=1.2e-5, atol=1e-6)


@pytest.mark.parametrize("gaussian_source", [False, True])
@pytest.mark.parametrize("name", PATHS)
def test_nothing_waits_for_the_device(name: str, gaussian_source: bool) -> None:
    """Oracle: tensors on the meta device have no values, so reading one would raise."""
    path = REGISTRY.create(name)
    t = torch.empty(3, device="meta")
    rows = torch.empty(3, 2, device="meta")
    for have, want in defined(path, gaussian_source):
        convert = conversion(path.coefficients(t), have, want, gaussian_source=gaussian_source)
        assert convert(rows, rows).shape == (3, 2)
    assert path.sample(Pairing(rows, rows), t).z_t.shape[1:] == (2,)


def test_a_prediction_keeps_its_dtype() -> None:
    """Oracle: bfloat16 in, bfloat16 out, with times in float32."""
    z = torch.ones(2, 3, dtype=torch.bfloat16)
    c = LinearPath().coefficients(torch.tensor([0.25, 0.5]))
    assert conversion(c, X1, VELOCITY)(z, z).dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("path", "have", "want", "text"),
    [
        (LinearPath(), X1, NOISE, "noise is not defined on a path with gamma = 0. Predict x0"),
        (LinearPath(), X1, DRIFT, "drift is not defined on an ODE path"),
        (LinearPath(), X1, SCORE, "Use the coupling 'independent'"),
        (BrownianBridge(), X1, X0, "x0 does not follow from x1 and z_t.*Train a second head"),
        (BrownianBridge(), DRIFT, VELOCITY, "velocity does not follow from drift"),
        (BrownianBridge(), X0, X1, "x1 does not follow from x0"),
    ],
)
def test_what_is_missing_is_said(
    path: AbstractPath, have: TargetKind, want: TargetKind, text: str
) -> None:
    """Oracle: the message names what to add."""
    with pytest.raises(IncompatiblePartsError, match=text):
        check_conversion(path.coefficients(INTERIOR), have, want)


def test_the_probability_flow_of_the_bridge() -> None:
    """Oracle: v = b - (sigma^2/2) score (2409.08311), from one x1-prediction."""
    path, z = BrownianBridge(math.sqrt(3)), torch.randn(10, 2, dtype=torch.float64)
    c, x1 = path.coefficients(INTERIOR), torch.randn(10, 2, dtype=torch.float64)

    def to(kind: TargetKind) -> Tensor:
        return conversion(c, X1, kind, gaussian_source=True)(x1, z)

    torch.testing.assert_close(to(VELOCITY), to(DRIFT) - 1.5 * to(SCORE))


def gen(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
