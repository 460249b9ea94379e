"""Time laws against published parametrisations, scipy, and the variance they promise."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from precond_gm.errors import InvalidInputError
from precond_gm.objectives.time_laws import (
    EDM,
    REGISTRY,
    Adaptive,
    Beta,
    Grid,
    JiT,
    LogitNormal,
    Shifted,
    Tabulated,
    Uniform,
    UShaped,
)

T = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)


@pytest.mark.parametrize(("a", "b"), [(2.0, 2.0), (0.5, 0.5), (5.0, 1.0), (1.0, 3.5)])
def test_beta_against_scipy(a: float, b: float) -> None:
    """Oracle: scipy.stats.beta. Tolerance: the table of 4,096 cells, 1e-6."""
    law, exact = Beta(a, b), scipy.stats.beta(a, b)
    torch.testing.assert_close(law.log_density(T), torch.as_tensor(exact.logpdf(T)))
    torch.testing.assert_close(law.cdf(T), torch.as_tensor(exact.cdf(T)), rtol=0, atol=1e-6)
    torch.testing.assert_close(law.quantile(T), torch.as_tensor(exact.ppf(T)), rtol=0, atol=1e-5)


def test_logit_normal_family_against_scipy() -> None:
    """Oracle: the logit of a draw is normal with the published centre and deviation."""
    u = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    for law, centre, spread in (
        (LogitNormal(0.5, 0.7), 0.5, 0.7),
        (EDM(), 1.2, 1.2),
        (EDM(data_std=1.0), 1.2 - math.log(2), 1.2),
        (JiT(), -0.8, 0.8),
    ):
        exact = torch.as_tensor(scipy.stats.norm(centre, spread).ppf(u))
        torch.testing.assert_close(torch.logit(law.quantile(u)), exact)


def test_edm_noise_levels_are_the_published_log_normal() -> None:
    """Oracle: ln((1 - t)/t) ~ N(-1.2, 1.2^2), 2206.00364 table 1."""
    t = EDM().quantile(torch.linspace(0.001, 0.999, 999, dtype=torch.float64))
    level = ((1 - t) / t).log()
    assert float(level.median()) == pytest.approx(-1.2, abs=1e-6)


def test_shift_is_a_move_of_the_logit() -> None:
    """Oracle: logit(t') = logit(t) - log a, so a = 3 takes t = 1/2 to 1/4, towards noise."""
    moved = Shifted(3.0).quantile(T)
    torch.testing.assert_close(torch.logit(moved), torch.logit(T) - math.log(3))
    assert float(Shifted(3.0).quantile(torch.tensor(0.5))) == pytest.approx(0.25)


def test_u_shape_is_symmetric_and_highest_at_the_ends() -> None:
    """Oracle: cosh(a (t - 1/2)) up to a factor."""
    density = UShaped(4.0).log_density(T).exp()
    torch.testing.assert_close(density, density.flip(0))
    ratio = density / torch.cosh(4 * (T - 0.5))
    torch.testing.assert_close(ratio, ratio[0].expand(99))


def test_tabulated_law_normalises() -> None:
    """Oracle: the integral of 3 t^2 and its quantile u^(1/3). Tolerance: the table."""
    law = Tabulated(lambda t: math.log(6.0) + 2 * t.log())
    assert law.mass == pytest.approx(2.0, rel=1e-6)
    torch.testing.assert_close(law.quantile(T), T ** (1 / 3), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", REGISTRY.names())
@pytest.mark.parametrize("sampling", ["stratified", "low-discrepancy"])
def test_less_variance_at_the_same_law(name: str, sampling: str) -> None:
    """Oracle: the variance of the mean of a smooth function over batches of 64, at least 10 x less.

    For a smooth function stratification gains a factor of order n^2; 10 leaves a wide margin.
    """
    g = torch.Generator().manual_seed(0)
    plain, better = REGISTRY.create(name), REGISTRY.create(name, sampling=sampling)

    def spread(law) -> float:
        return float(
            torch.stack([law.sample(64, generator=g).cos().mean() for _ in range(100)]).var()
        )

    assert spread(better) < spread(plain) / 10


@pytest.mark.parametrize("sampling", ["stratified", "low-discrepancy"])
def test_every_row_has_the_whole_law(sampling: str) -> None:
    """Row 0 alone is uniform, so sorted labels see all times. Tolerance: 5 standard errors."""
    g = torch.Generator().manual_seed(0)
    first = torch.stack([Uniform(sampling=sampling).sample(8, generator=g)[0] for _ in range(2000)])
    assert float(first.mean()) == pytest.approx(0.5, abs=5 / math.sqrt(12 * 2000))
    assert float(first.var()) == pytest.approx(1 / 12, abs=0.01)


@pytest.mark.parametrize("name", REGISTRY.names())
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("t_max", [1.0, 0.999, 0.8])
def test_times_in_half_precision_are_those_of_float32(
    name: str, dtype: torch.dtype, t_max: float
) -> None:
    """Oracle: the float32 draw of the same seed, cast, and in (0, t_max]: never rounded up.

    Tolerance: one step of the narrow type, half a step of the cast and half of the border.
    """
    law = REGISTRY.create(name)
    wide, narrow = (
        law.sample(512, t_max=t_max, dtype=kind, generator=torch.Generator().manual_seed(0))
        for kind in (torch.float32, dtype)
    )
    assert narrow.dtype is dtype
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(narrow.float(), wide, rtol=0, atol=eps)
    assert bool(((narrow.double() > 0) & (narrow.double() < 1)).all())
    assert bool((narrow.double() <= t_max).all())


@given(st.sampled_from(REGISTRY.names()), st.floats(0, 1, width=32), st.floats(0.125, 1, width=32))
@settings(max_examples=50, deadline=None)
def test_quantiles_stay_inside_in_float32(name: str, u: float, t_max: float) -> None:
    """Oracle: any u in [0, 1] gives a time in [0, 1], and any draw lies inside (0, t_max]."""
    law = REGISTRY.create(name)
    at = law.quantile(torch.tensor([u]))
    assert 0 <= float(at) <= 1
    t = law.sample(4, t_max=t_max, generator=torch.Generator().manual_seed(0))
    assert bool(((t > 0) & (t < 1) & (t <= t_max)).all())


def test_a_cut_conditions_and_does_not_pile_up() -> None:
    """Oracle: no atom at t_max: all draws are different, and half lie below the median."""
    t = Uniform().sample(1000, t_max=0.5, generator=torch.Generator().manual_seed(0))
    assert t.unique().numel() > 990
    assert int((t < 0.25).sum()) == pytest.approx(500, abs=5 * math.sqrt(250))


def test_grid_draws_its_midpoints_only() -> None:
    """Oracle: four cells have midpoints 1/8, 3/8, 5/8, 7/8."""
    t = Grid(4).sample(100, generator=torch.Generator().manual_seed(0))
    assert t.unique().tolist() == [0.125, 0.375, 0.625, 0.875]
    assert Grid.is_discrete


def test_adaptive_goes_where_the_loss_is_and_keeps_the_objective() -> None:
    """Oracle: E_q[f / q] = E_uniform[f], with less variance. Tolerance: 5 standard errors."""
    law = Adaptive(bins=16, floor=0.1)
    g = torch.Generator().manual_seed(0)

    def loss(t):
        return 1.0 + 50 * (t > 0.9)

    for _ in range(20):
        t = law.sample(256, generator=g)
        law.observe(t, loss(t), loss(t))
    t = law.sample(100_000, generator=g)
    estimate = loss(t) * law.importance(t)
    error = float(estimate.std()) / math.sqrt(len(t))
    assert float(estimate.mean()) == pytest.approx(1 + 50 * 0.1, abs=5 * error)
    uniform = loss(torch.rand(100_000, generator=g))
    assert float(estimate.var()) < 0.3 * float(uniform.var())
    assert float(law.density().min()) >= 0.1 - 1e-6
    assert Adaptive(keep_objective=False).importance(t) is None


def test_adaptive_state_is_saved_and_moved() -> None:
    """Oracle: a state dict restores the density exactly."""
    law, other = Adaptive(bins=4), Adaptive(bins=4)
    t = torch.rand(64, generator=torch.Generator().manual_seed(0))
    law.observe(t, t, t)
    other.load_state_dict(law.state_dict())
    assert torch.equal(law.density(), other.density())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Beta(0.0, 1.0),
        lambda: LogitNormal(0.0, -1.0),
        lambda: Shifted(0.0),
        lambda: UShaped(-1.0),
        lambda: Grid(0),
        lambda: EDM(data_std=0.0),
        lambda: Adaptive(floor=0.0),
        lambda: Adaptive(bins=0),
        lambda: Uniform(sampling="sobol"),
    ],
)
def test_options_out_of_range_are_refused(make) -> None:
    """Oracle: the documented ranges."""
    with pytest.raises(InvalidInputError):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogitNormal(mean=math.nan), "LogitNormal: mean is a finite number; got nan"),
        (lambda: LogitNormal(std=math.inf), "LogitNormal: std is a finite number above 0; got inf"),
        (lambda: Beta(a=math.inf), "Beta: a is a finite number above 0; got inf. 1 and 1"),
        (lambda: Beta(b="2"), "Beta: b is a finite number above 0; got '2'"),
        (lambda: Shifted(math.inf), "Shifted: shift is a finite number above 0; got inf"),
        (lambda: UShaped(2000.0), "steepness is a number in \\(0, 100\\]; got 2000"),
        (lambda: EDM(data_std=math.inf), "EDM: data_std is a finite number above 0; got inf"),
        (lambda: Grid(2.5), "steps is a whole number, 1 or more; got 2.5"),
        (lambda: Adaptive(bins=2.5), "bins is a whole number"),
    ],
)
def test_options_are_refused_when_the_law_is_made(make, message: str) -> None:
    """Oracle: the message names law, option, range and value."""
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_the_steepest_u_shape_is_finite_in_float32() -> None:
    """Oracle: quantile and cdf undo each other at steepness 100. Tolerance: float32 next to 0."""
    law, u = UShaped(100.0), torch.linspace(0.01, 0.99, 99)
    torch.testing.assert_close(law.cdf(law.quantile(u)), u, rtol=0, atol=1e-3)
    assert bool(torch.isfinite(law.log_density(T)).all())
