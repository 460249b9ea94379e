"""Summaries of a spectrum against closed forms and the Marchenko-Pastur law."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from precond_gm.numerics.moments import Moments
from precond_gm.numerics.spectrum import (
    condition_number,
    effective_rank,
    eigenvalues,
    extreme_directions,
    noise_count,
    participation_ratio,
    without_rounding,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8))
def test_ranks_lie_between_one_and_the_dimension(values: list[float]) -> None:
    """Oracle: participation ratio <= effective rank <= dim, with equality for equal values."""
    spectrum = torch.tensor(sorted(values), dtype=torch.float64)
    entropy, ratio = float(effective_rank(spectrum)), float(participation_ratio(spectrum))
    assert 1 - 1e-9 <= ratio <= entropy * (1 + 1e-9)
    assert entropy <= len(values) * (1 + 1e-9)
    equal = torch.full_like(spectrum, 3.0)
    assert float(effective_rank(equal)) == pytest.approx(len(values))


def test_multiplicity_is_repetition() -> None:
    """Oracle: the same spectrum written out."""
    short, count = torch.tensor([0.5, 2.0]), torch.tensor([3.0, 1.0])
    long = torch.tensor([0.5, 0.5, 0.5, 2.0])
    for summary in (effective_rank, participation_ratio):
        torch.testing.assert_close(summary(short, count), summary(long))


def test_nothing_is_badly_conditioned() -> None:
    """Oracle: the contract: a smallest eigenvalue of zero is an infinite condition number."""
    assert condition_number(torch.zeros(3)) == float("inf")
    assert condition_number(torch.tensor([2.0, 4.0])) == 2


@pytest.mark.parametrize("scale", [2.0**-60, 2.0**60])
def test_directions_do_not_depend_on_the_unit(scale: float) -> None:
    """Oracle: the same matrix in another unit; powers of two, so that nothing is rounded anew."""
    x = torch.randn(300, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = Moments.of(x * torch.logspace(-1, 1, 20)).covariance
    found = extreme_directions(scale * matrix)
    assert torch.equal(found, extreme_directions(matrix))
    assert extreme_directions(torch.zeros(4, 4)).isfinite().all()


def test_rounding_is_not_a_variance() -> None:
    """Oracle: a matrix of rank one has one eigenvalue, and its condition number is infinite."""
    v = torch.arange(1.0, 6.0, dtype=torch.float64)
    values = eigenvalues(torch.outer(v, v))
    assert (values > 0).sum() == 1
    assert condition_number(values) == float("inf")
    assert (without_rounding(torch.tensor([-1e-3, 1.0])) >= 0).all()


def test_equal_variances_seen_through_few_rows_are_noise() -> None:
    """Oracle: 40 equal variances in 100 rows are all noise, alone or beside ten large ones."""
    x = torch.randn(100, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert noise_count(eigenvalues(Moments.of(x[:, :40]).covariance), 100) >= 36
    x[:, 40:] *= torch.logspace(2, 4, 10, dtype=torch.float64)
    assert 36 <= noise_count(eigenvalues(Moments.of(x).covariance), 100) <= 41


def test_well_separated_variances_are_not_noise() -> None:
    """Oracle: eigenvalues a factor 10 apart, ten thousand rows: sampling error is 1.4 %."""
    x = torch.randn(10_000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = eigenvalues(Moments.of(x * torch.logspace(-2, 3, 6)).covariance)
    assert noise_count(values, 10_000) == 0


def test_directions_without_rows_are_noise() -> None:
    """Oracle: 5 rows span 4 directions of 12; the other 8 are zero."""
    x = torch.randn(5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert noise_count(eigenvalues(Moments.of(x).covariance), 5) >= 8
