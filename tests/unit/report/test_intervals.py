"""Intervals and findings: what may be said, and what may not."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from precond_gm.report.intervals import Finding, compare, summarise


def test_student_interval_against_a_table() -> None:
    """Two values 1 and 3: mean 2, error 1, quantile 12.706 (one degree of freedom, any table)."""
    found = summarise([1.0, 3.0])
    assert found.low == pytest.approx(2 - 12.706, abs=1e-3)
    assert found.high == pytest.approx(2 + 12.706, abs=1e-3)


def test_one_seed_has_no_interval() -> None:
    """One number says nothing about its spread."""
    assert summarise([1.0]).low is None
    assert compare([1.0], [2.0], as_ratio=True)[1] is Finding.OPEN


def test_coverage_of_the_paired_interval() -> None:
    """True ties are called differences in 5 % of cases. Oracle: the level itself.

    4,000 draws of three seeds; 5 binomial deviations of 0.34 % each.
    """
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 4000, 3, generator=generator, dtype=torch.float64)
    wrong = sum(
        compare(x.tolist(), y.tolist(), as_ratio=False)[1] is not Finding.OPEN
        for x, y in zip(a, b, strict=True)
    )
    assert abs(wrong / 4000 - 0.05) < 5 * 0.0034


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.1, 10), min_size=2, max_size=6),
    st.floats(0.01, 100),
)
def test_ratio_does_not_depend_on_units(values: list[float], unit: float) -> None:
    """Multiplying all values by a unit leaves ratio and finding. Oracle: invariance."""
    baseline = [1.7 * v + 0.1 for v in values]
    one, said = compare(values, baseline, as_ratio=True)
    scaled = [unit * v for v in values], [unit * v for v in baseline]
    two, again = compare(*scaled, as_ratio=True)
    assert one.mean == pytest.approx(two.mean, rel=1e-9)
    assert said is again


def test_exchange_turns_better_into_worse() -> None:
    """Oracle: antisymmetry."""
    a, b = [1.0, 1.1, 0.9], [3.0, 3.2, 3.1]
    ratio, said = compare(a, b, as_ratio=True)
    other, turned = compare(b, a, as_ratio=True)
    assert (said, turned) == (Finding.BETTER, Finding.WORSE)
    assert ratio.mean * other.mean == pytest.approx(1.0)


def test_values_that_are_not_positive_are_compared_by_difference() -> None:
    """An unbiased energy distance may be negative; a ratio would have no meaning."""
    found, _ = compare([-0.1, 0.1], [0.2, 0.3], as_ratio=True)
    assert found.mean == pytest.approx(-0.25)
    assert math.isfinite(found.mean)
