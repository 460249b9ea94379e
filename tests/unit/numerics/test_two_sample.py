"""Distances between two sets of rows against closed forms and exact identities."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from precond_gm.numerics.neighbours import copying, neighbourhood
from precond_gm.numerics.recovery import directions, recovery
from precond_gm.numerics.statistics import (
    Simultaneous,
    jackknife,
    normal_quantile,
    student_quantile,
)
from precond_gm.numerics.two_sample import (
    Statistic,
    energy_distance,
    exact_w2,
    frechet,
    mmd,
    sliced_w2,
)


def rows_of(count: int, dim: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator, dtype=torch.float64)


def value(statistic: Statistic, a: Tensor, b: Tensor) -> dict[str, float]:
    return statistic(a, b)(torch.arange(a.shape[0]), torch.arange(b.shape[0]))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=3), st.integers(0, 1000))
def test_a_translation_costs_its_length(shift: list[float], seed: int) -> None:
    """Oracle: W2 to a translate is the length of the shift, sliced W2 that of its projections."""
    a = rows_of(30, 3, seed)
    mu = torch.tensor(shift, dtype=torch.float64)
    exact = float(mu.norm())
    assert value(exact_w2, a, a[torch.randperm(30)] + mu)["w2"] == pytest.approx(exact, abs=1e-6)
    lines = torch.eye(3, dtype=torch.float64)
    found = value(sliced_w2(lines), a, a + mu)["sliced_w2"]
    assert found == pytest.approx(exact / math.sqrt(3), abs=1e-9)


def test_energy_distance_of_shifted_normals() -> None:
    """Oracle: E|N(m, 2)| in closed form. Tolerance: five standard errors of 1,500 rows each."""
    shift = 1.5
    a, b = rows_of(1500, 1, 1), rows_of(1500, 1, 2) + shift
    across = 2 * math.exp(-(shift**2) / 4) / math.sqrt(math.pi) + shift * math.erf(shift / 2)
    expected = 2 * across - 4 / math.sqrt(math.pi)
    assert value(energy_distance, a, b)["energy_distance"] == pytest.approx(expected, abs=0.25)


def test_unbiased_statistics_leave_out_the_same_row() -> None:
    """Oracle: the definition, written as loops over pairs of different rows."""
    a, b = rows_of(6, 2, 1), rows_of(7, 2, 2)

    def mean_over(x: Tensor, y: Tensor, same: bool) -> float:
        pairs = [
            float((p - q).norm())
            for i, p in enumerate(x)
            for j, q in enumerate(y)
            if not (same and i == j)
        ]
        return sum(pairs) / len(pairs)

    expected = 2 * mean_over(a, b, False) - mean_over(a, a, True) - mean_over(b, b, True)
    assert value(energy_distance, a, b)["energy_distance"] == pytest.approx(expected)
    i, j = torch.tensor([0, 2, 5]), torch.tensor([1, 3, 4, 6])
    part = energy_distance(a, b)(i, j)["energy_distance"]
    assert part == pytest.approx(value(energy_distance, a[i], b[j])["energy_distance"])


def test_mmd_tells_a_shift_and_not_a_copy_of_the_law() -> None:
    """Oracle: unbiased, so near 0 for equal laws (standard error about 2 / rows), positive else."""
    a, b = rows_of(400, 2, 1), rows_of(400, 2, 2)
    assert abs(value(mmd, a, b)["mmd"]) < 0.02
    assert value(mmd, a + 1, b)["mmd"] > 0.1


def test_frechet_of_diagonal_gaussians() -> None:
    """Oracle: |m|^2 + sum (sqrt a - sqrt b)^2 for commuting covariances, exact rows."""
    basis, _ = torch.linalg.qr(rows_of(50, 4) - rows_of(50, 4).mean(0))
    basis = basis - basis.mean(0)
    basis, _ = torch.linalg.qr(basis)
    rows = basis * 50**0.5
    scale = torch.tensor([0.1, 1.0, 2.0, 3.0], dtype=torch.float64)
    found = value(frechet(lambda x: x), rows * scale + 2, rows)["frechet"]
    assert found == pytest.approx(16 + float((scale - 1).square().sum()))


def test_neighbourhood_of_equal_and_of_far_sets() -> None:
    """Oracle: a set against itself has full precision, recall and coverage; a far one none."""
    a = rows_of(60, 2)
    same = value(neighbourhood(), a, a.clone())
    assert same["precision"] == same["recall"] == same["coverage"] == 1
    far = value(neighbourhood(), a + 1e3, a)
    assert far["precision"] == far["recall"] == far["density"] == far["coverage"] == 0


def test_copies_are_found() -> None:
    """Oracle: copies are always nearer (1); rows drawn like the held-out ones half of the time."""
    train = rows_of(200, 3, 1)
    statistic = copying(train)
    assert value(statistic, train[:50], rows_of(50, 3, 2))["copying"] == 1
    fresh = value(statistic, rows_of(500, 3, 3), rows_of(500, 3, 4))["copying"]
    assert fresh == pytest.approx(0.5, abs=0.1)  # five standard errors


def test_recovery_finds_the_scaled_direction() -> None:
    """Oracle: one variance multiplied by 9; its interval holds 9, the others' intervals 1."""
    scale = torch.tensor([0.01, 0.1, 1.0, 10.0], dtype=torch.float64)
    data = rows_of(4000, 4, 1) * scale
    wrong = rows_of(2000, 4, 2) * scale
    wrong[:, 0] *= 3
    found = recovery(wrong, data[:1000], data[1000:2000], directions(data[2000:]))
    assert float(found.low[0]) < 9 < float(found.high[0])
    assert ((found.low[1:] < 1.05) & (found.high[1:] > 0.95)).all()
    assert (found.floor.log().abs() < 0.4).all()


def test_directions_of_wide_rows_are_orthonormal() -> None:
    """Oracle: V V^T = I; directions without variance are left out."""
    wide = rows_of(10, 40)
    for limit in (8, 1024):
        basis = directions(wide, limit)
        assert basis.shape[0] == 9
        gram = basis @ basis.T
        torch.testing.assert_close(gram, torch.eye(9, dtype=torch.float64))


def test_jackknife_of_a_mean_is_the_textbook_error() -> None:
    """Oracle: with one row per group the jackknife error of a mean is std / sqrt(n), exactly."""
    rows = rows_of(40, 1)[:, 0]

    def mean(group: int | None) -> dict[str, float]:
        kept = torch.arange(40) != (-1 if group is None else group)
        return {"mean": float(rows[kept].mean())}

    found = jackknife(mean, 40)["mean"]
    reach = student_quantile(0.975, 39) * float(rows.std()) / 40**0.5
    assert found.high - found.value == pytest.approx(reach)


def test_quantiles() -> None:
    """Oracle: printed tables of the normal and of Student's law."""
    assert normal_quantile(0.975) == pytest.approx(1.959964, abs=1e-6)
    assert student_quantile(0.975, 9) == pytest.approx(2.262157, abs=1e-6)


def test_simultaneous_factor_lies_between_one_cell_and_bonferroni() -> None:
    """Oracle: equal cells need the one-sided quantile, independent ones nearly Bonferroni's.

    Tolerance: 500 draws give the 95 % quantile with a standard error of 0.1; five of these.
    """

    def factor(*blocks: Tensor) -> float:
        bounds = Simultaneous(500)
        for block in blocks:
            bounds.add(block)
        return bounds.factor()

    one = rows_of(500, 1)
    assert factor(one.expand(-1, 50), one) == pytest.approx(1.645, abs=0.5)
    many = factor(rows_of(500, 25, 1), rows_of(500, 25, 2))
    assert 2.5 < many < normal_quantile(1 - 0.05 / 50) + 0.2
