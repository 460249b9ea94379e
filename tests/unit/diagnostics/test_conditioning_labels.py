"""Halves of the labels, intervals in any unit, and what lies between the labels."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from precond_gm.couplings.base import AbstractCoupling
from precond_gm.diagnostics import conditioning
from precond_gm.diagnostics.end_moments import EndMoments
from precond_gm.diagnostics.ends import Ends
from precond_gm.values import Batch, Pairing

ONE = torch.tensor([1.0], dtype=torch.float64)


def rows_of(count: int, dim: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("labels", [1, 2, 4])
def test_labels_may_alternate(labels: int) -> None:
    """Oracle: the contract: an interval for every label that has four rows, in any order."""
    x, label = rows_of(400) * torch.tensor([0.1, 0.3, 1.0]), torch.arange(400) % labels
    report = conditioning(x, label, times=ONE)
    for part in (report, *report.per_label.values()):
        assert 1 < float(part.condition_low) <= float(part.condition_number)
        assert float(part.condition_number) <= float(part.condition_high)


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 59), min_size=0, max_size=6, unique=True),
    seed=st.integers(0, 10_000),
)
def test_halves_are_the_same_for_any_batches(cuts: list[int], seed: int) -> None:
    """Oracle: one batch with all rows; batches of one stream, and parts merged in its order.

    Every label's halves differ by one row at most.
    """
    x = rows_of(60, seed=seed)
    label = torch.randint(0, 3, (60,), generator=torch.Generator().manual_seed(seed))
    edges = [0, *sorted(cuts), 60]
    parts = [Batch(x[a:b], label[a:b]) for a, b in itertools.pairwise(edges)]
    whole = EndMoments.of(Ends(x, label))
    streamed = EndMoments.of(Ends(parts))
    merged = EndMoments.of(Ends(parts[:1]))
    for part in parts[1:]:
        merged = merged.merge(EndMoments.of(Ends([part])))
    for name, halves in whole.halves.items():
        assert 0 <= halves[0].count - halves[1].count <= 1
        for other in (streamed, merged):
            for half, expected in zip(other.halves[name], halves, strict=True):
                assert half.count == expected.count
                torch.testing.assert_close(half.mean, expected.mean)
                torch.testing.assert_close(half.scatter, expected.scatter)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_intervals_do_not_depend_on_the_unit(scale: float) -> None:
    """Oracle: the same rows times one, at t = 1. Tolerance: rounding of the rows, times 100."""
    x = rows_of(400) * torch.tensor([0.1, 0.3, 1.0])
    found, expected = (conditioning(rows, times=ONE) for rows in (scale * x, x))
    for name in ("condition_low", "condition_number", "condition_high"):
        pair = getattr(found, name), getattr(expected, name)
        torch.testing.assert_close(*pair, rtol=1e-9, atol=0)
    assert float(expected.condition_low) > 10


def test_between_is_the_spectrum_of_the_means() -> None:
    """Oracle: (1-t)^2 + t^2 times the eigenvalues of rows put at their label's mean.

    At t = 1 the trace of all rows is that within plus that between; labels differ in size.
    """
    label = torch.arange(300).sqrt().long() % 7
    x = rows_of(300) + torch.stack((label, label**2, -label), 1)
    report = conditioning(x, label, times=5)
    assert report.between is not None
    assert report.within is not None
    means = torch.stack([x[label == k].mean(0) for k in range(7)])[label]
    values = torch.linalg.eigvalsh(torch.cov(means.T, correction=0))
    t = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
    torch.testing.assert_close(report.between.eigenvalues, (1 - t) ** 2 + t**2 * values)
    total = report.within.eigenvalues[-1].sum() + report.between.eigenvalues[-1].sum()
    torch.testing.assert_close(total, report.eigenvalues[-1].sum())
    assert "between" in report.to_dict()
    assert conditioning(x, times=2).between is None


class Shifted(AbstractCoupling):
    """Test coupling that is blind to what it does to the labels: noise moves with them."""

    @property
    def label_aware(self) -> bool:
        return False

    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        assert label is not None
        return Pairing(0.5 * z0 + label[:, None], z1, label)


def test_between_with_a_coupling_that_moves_the_noise() -> None:
    """Oracle: the covariance of (1-t) z0 + t times the label's mean, over the very pairs."""
    x, label = rows_of(200) * torch.tensor([1.0, 2.0, 3.0]), torch.arange(200) % 3
    x = x + 4 * label[:, None]
    coupling = Shifted()
    report = conditioning(x, label, coupling=coupling, times=3)
    pairs = list(Ends(x, label, coupling=coupling, generator=torch.Generator().manual_seed(0)))
    z0, z1 = (torch.cat([getattr(pair, name) for pair in pairs]) for name in ("z0", "z1"))
    group = torch.cat([pair.label for pair in pairs if pair.label is not None])
    means = torch.stack([z1[group == k].mean(0) for k in range(3)])[group]
    assert report.between is not None
    for t, values in zip(report.t.tolist(), report.between.eigenvalues, strict=True):
        direct = torch.linalg.eigvalsh(torch.cov(((1 - t) * z0 + t * means).T, correction=0))
        torch.testing.assert_close(values, direct, rtol=1e-9, atol=1e-9)


def test_between_of_two_labels_has_one_direction() -> None:
    """Oracle: two means span one direction: one eigenvalue, infinite condition number at t = 1."""
    x, label = rows_of(40), torch.arange(40) % 2
    between = conditioning(x, label, times=3).between
    assert between is not None
    assert int((between.eigenvalues[-1] > 0).sum()) == 1
    assert between.condition_number[-1] == float("inf")
    assert between.condition_number[1].isfinite()
