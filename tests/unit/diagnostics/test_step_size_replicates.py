"""The jackknife, the controlled mean and slopes, against formulas of elementary statistics."""

from __future__ import annotations

import math

import pytest
import torch

from precond_gm.diagnostics.step_size.replicates import (
    GROUPS,
    Replicates,
    controlled_mean,
    fit_slope,
)

H = 1 / torch.tensor([8.0, 16.0, 32.0, 64.0]).double()


def rows(n: int, columns: int, seed: int = 0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(n, columns, generator=source, dtype=torch.float64)


def test_standard_error_of_a_mean() -> None:
    """With one row per group it is s / sqrt(n). Oracle: the textbook formula, exact to rounding."""
    x = rows(GROUPS, 3)
    found = controlled_mean(x)
    assert torch.allclose(found.value, x.mean(0), rtol=1e-12)
    assert torch.allclose(found.standard_error, x.std(0) / GROUPS**0.5, rtol=1e-10)


def test_control_that_explains_everything() -> None:
    """A = 2 C + 1 on few rows gives the mean of 2 C + 1 over all. Oracle: algebra, exact."""
    c = rows(4096, 2)
    found = controlled_mean(2 * c[:200] + 1, c)
    plain = controlled_mean(2 * c + 1)
    assert torch.allclose(found.value, plain.value, rtol=1e-10)
    assert torch.allclose(found.standard_error, plain.standard_error, rtol=1e-6)


def test_useless_control_costs_little() -> None:
    """An independent companion leaves mean and error nearly alone: beta is O(1 / sqrt(m))."""
    a, c = rows(640, 1), rows(6400, 1, seed=1)
    with_control, plain = controlled_mean(a, c), controlled_mean(a)
    assert abs(float(with_control.value - plain.value)) < float(plain.standard_error)
    assert float(with_control.standard_error / plain.standard_error) == pytest.approx(1, abs=0.1)


def test_constant_control_is_ignored() -> None:
    """A control without variance has no slope; beta is 0 and not NaN."""
    a = rows(64, 2)
    found = controlled_mean(a, torch.ones(640, 2).double())
    assert torch.allclose(found.value, a.mean(0), rtol=1e-12)


def test_debiased_square_of_a_mean() -> None:
    """The jackknife of mean^2 is mean^2 - s^2 / n, its unbiased form. Oracle: algebra, exact."""
    x = rows(GROUPS, 1)
    found = controlled_mean(x).map(torch.square).debiased()
    assert torch.allclose(found.value, x.mean(0) ** 2 - x.var(0) / GROUPS, rtol=1e-9)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_slope_of_a_power_law(power: float) -> None:
    """A noiseless power law has its exponent as slope and no interval. Oracle: exact."""
    value = 3 * H**power
    slope = fit_slope(H, Replicates(value, value.expand(GROUPS, -1)))
    assert float(slope) == pytest.approx(power, abs=1e-12)
    assert slope.high - slope.low < 1e-9


def test_no_slope_from_noise() -> None:
    """Points whose error is as large as they are give no slope, and the reason is said."""
    noisy = controlled_mean(1e-3 * H + rows(256, 4))
    slope = fit_slope(H, noisy)
    assert math.isnan(float(slope))
    assert "raise num_samples" in slope.reason
    assert "none" in str(slope)


def test_interval_covers_the_exponent() -> None:
    """Noise common to all step sizes cancels in the slope. Oracle: the exponent, 60 repeats.

    A 95 % interval misses 3 of 60 on average; more than 9 has probability below 0.002.
    """
    missed = 0
    for seed in range(60):
        common, own = rows(512, 1, seed), rows(512, 4, seed + 1000)
        slope = fit_slope(H, controlled_mean(H * (1 + 0.5 * common + 0.1 * own)))
        missed += not slope.low <= 1 <= slope.high
    assert missed <= 9
