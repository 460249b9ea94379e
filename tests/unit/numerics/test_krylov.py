"""Spectra without the matrix, against dense eigendecompositions of the same matrices."""

from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from precond_gm.diagnostics import conditioning
from precond_gm.diagnostics import large as large_module
from precond_gm.errors import InvalidInputError
from precond_gm.numerics import krylov as krylov_module
from precond_gm.numerics.gram import between_spectrum, gram, gram_spectrum
from precond_gm.numerics.krylov import lanczos_spectrum
from precond_gm.numerics.moments import Moments
from precond_gm.numerics.spectrum import effective_rank, eigenvalues, participation_ratio


def rows_of(count: int, dim: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator, dtype=torch.float64)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(2, 15), dim=st.integers(1, 20), cut=st.integers(1, 14))
def test_gram_has_the_spectrum_of_the_covariance(rows: int, dim: int, cut: int) -> None:
    """Oracle: the dense covariance of the same rows, zeros included, for any split into pieces."""
    x = 3 + rows_of(rows, dim, rows * dim)
    pieces = [part for part in (x[:cut], x[cut:]) if part.shape[0]]
    found = gram_spectrum(gram(pieces), torch.zeros(rows, dtype=torch.long), dim)
    dense = eigenvalues(Moments.of(x).covariance)
    written = found.values.repeat_interleave(found.multiplicity.long())
    torch.testing.assert_close(written, dense, rtol=1e-6, atol=1e-12)


def test_gram_within_groups() -> None:
    """Oracle: the covariance of rows centred on their own group's mean."""
    x, group = rows_of(12, 30), torch.arange(12) % 3
    centred = x - torch.stack([x[group == g].mean(0) for g in range(3)])[group]
    found = gram_spectrum(gram([x]), group, 30)
    dense = eigenvalues(centred.T @ centred / 12)
    torch.testing.assert_close(found.values[1:], dense[dense > 0])
    assert found.values[0] == 0
    assert float(found.multiplicity.sum()) == 30


def test_lanczos_against_dense() -> None:
    """Oracle: a dense spectrum. Ends within the stated error; sums within probe noise of 10 %."""
    spectrum = torch.logspace(-1, 2, 300, dtype=torch.float64)
    basis, _ = torch.linalg.qr(rows_of(300, 300))
    matrix = basis @ (spectrum[:, None] * basis.T)
    found = lanczos_spectrum(lambda v: matrix @ v, 300)
    assert float(found.values[-1]) == pytest.approx(100.0, rel=1e-2)
    assert float(found.values[0]) == pytest.approx(0.1, rel=max(found.error, 1e-2))
    assert float(found.multiplicity.sum()) == pytest.approx(300)
    for summary in (effective_rank, participation_ratio):
        exact, estimate = summary(spectrum), summary(found.values, found.multiplicity)
        assert float(estimate) == pytest.approx(float(exact), rel=0.1)


def test_lanczos_of_a_multiple_of_the_identity() -> None:
    """Oracle: one eigenvalue, so the Krylov space is exhausted after one step."""
    found = lanczos_spectrum(lambda v: 2 * v, 50)
    assert float(found.values[0]) == pytest.approx(2)
    assert float(found.values[-1]) == pytest.approx(2)


def singular(kind: str) -> Tensor:
    """Return a spectrum of 500 whose smallest eigenvalue is hard to see."""
    zeros = torch.zeros(10, dtype=torch.float64)
    return {
        "zeros": torch.cat((zeros, torch.linspace(1, 2, 490))),
        "one zero": torch.cat((zeros[:1], torch.full((250,), 1e-3), torch.linspace(0.5, 1, 249))),
        "wide": torch.logspace(-6, 0, 500, dtype=torch.float64),
        "equal": torch.full((500,), 2.0, dtype=torch.float64),
        "none": torch.zeros(500, dtype=torch.float64),
    }[kind].double()


@pytest.mark.parametrize("most", [12, 200])
@pytest.mark.parametrize("kind", ["zeros", "one zero", "wide", "equal", "none"])
def test_lanczos_never_claims_more_than_it_knows(
    kind: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the diagonal itself, within the stated error, with time to converge and without.

    Tolerance beside the stated error: ``dim * eps`` of the largest eigenvalue. The counts add up to
    the dimension and, with the trace given, to the trace. With time the ends are found to 0.1 %.
    """
    monkeypatch.setattr(krylov_module, "_LEAST_STEPS", min(most, 40))
    monkeypatch.setattr(krylov_module, "_MOST_STEPS", most)
    true = singular(kind)
    floor = 500 * torch.finfo(torch.float64).eps * float(true[-1])
    spread = true.mean().expand(500)  # of the same matrix in other axes: says the trace alone
    found = lanczos_spectrum(lambda v: true[:, None] * v, 500, diagonal=spread)
    smallest, largest = float(found.values[0]), float(found.values[-1])
    assert smallest * (1 - found.error) - floor <= float(true[0]) <= smallest + floor
    assert largest - floor <= float(true[-1]) <= largest * (1 + found.error) + floor
    assert float(found.multiplicity.sum()) == pytest.approx(500)
    assert (found.multiplicity >= 0).all()
    total = float((found.values * found.multiplicity).sum())
    assert total == pytest.approx(float(true.sum()), rel=1e-9)
    if most == 200:
        assert found.error < 1e-3
        assert (smallest == 0) == (float(true[0]) == 0)


def test_what_is_known_of_the_matrix_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: a rank below the dimension, or a feature that is constant, makes an exact zero."""
    monkeypatch.setattr(krylov_module, "_LEAST_STEPS", 20)
    monkeypatch.setattr(krylov_module, "_MOST_STEPS", 20)
    true = torch.cat((torch.zeros(100), torch.logspace(-8, 0, 400))).double()
    blind = lanczos_spectrum(lambda v: true[:, None] * v, 500)
    assert float(blind.values[0]) > 0
    assert blind.error == 1
    ranked = lanczos_spectrum(lambda v: true[:, None] * v, 500, rank=400)
    assert float(ranked.values[0]) == 0
    assert float(ranked.multiplicity[0]) == pytest.approx(100)
    known = lanczos_spectrum(lambda v: true[:, None] * v, 500, diagonal=true)
    assert float(known.values[0]) == 0
    assert max(ranked.error, known.error) < 1e-3
    for found in (ranked, known):
        assert float(found.multiplicity.sum()) == pytest.approx(500)


@pytest.mark.parametrize("kind", ["wide", "deficient", "constant", "unscaled", "same"])
def test_large_report_of_singular_data(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the dense report of the same data, t = 1 included, where most are singular."""
    x = {
        "wide": rows_of(210, 300),
        "deficient": rows_of(250, 40) @ rows_of(40, 60, 1),
        "constant": rows_of(250, 60) * torch.arange(60).clamp_max(1),
        "unscaled": rows_of(250, 60) * torch.logspace(-3, 0, 60),
        "same": torch.full((250, 60), 3.0),
    }[kind]
    dense = conditioning(x, times=5, intervals=False)
    module = sys.modules["precond_gm.diagnostics.conditioning"]
    monkeypatch.setattr(module, "DENSE_DIM", 50)
    monkeypatch.setattr(large_module, "GRAM_ROWS", 200)
    found = conditioning(x, torch.arange(len(x)) % 2, times=5)
    torch.testing.assert_close(found.condition_number, dense.condition_number, rtol=1e-3, atol=0)
    assert bool(found.condition_number[-1].isinf()) == (kind != "unscaled")
    assert float(found.multiplicity.sum()) == pytest.approx(x.shape[1])
    assert found.noise_count == dense.noise_count
    trace = (found.eigenvalues * found.multiplicity).sum(1)
    torch.testing.assert_close(trace, dense.eigenvalues.sum(1), rtol=1e-9, atol=1e-9)
    assert "labels 0, 1, within or between" in found.notes[0]
    assert found.within is None
    assert found.between is None


def test_a_smallest_eigenvalue_that_is_not_found_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the dense report: every figure is finite, and the condition number a lower bound."""
    x = rows_of(900, 300) * torch.logspace(-3, 0, 300)
    dense = conditioning(x, times=3, intervals=False)
    module = sys.modules["precond_gm.diagnostics.conditioning"]
    monkeypatch.setattr(module, "DENSE_DIM", 50)
    monkeypatch.setattr(large_module, "GRAM_ROWS", 200)
    for name in ("_LEAST_STEPS", "_MOST_STEPS"):
        monkeypatch.setattr(krylov_module, name, 10)
    found = conditioning(x, times=3)
    assert found.eigenvalue_error == 1
    assert "did not converge" in found.notes[-1]
    assert 1 < float(found.condition_number[-1]) <= float(dense.condition_number[-1])
    torch.testing.assert_close(found.effective_rank, dense.effective_rank, rtol=0.1, atol=0)
    assert found.noise_count <= 300


@pytest.mark.parametrize(("rows", "dim"), [(40, 60), (60, 8)])
def test_gram_between_groups(rows: int, dim: int) -> None:
    """Oracle: the covariance of rows put at their group's mean; the groups differ in size."""
    x, group = rows_of(rows, dim), torch.arange(rows).sqrt().long()
    means = torch.stack([x[group == g].mean(0) for g in range(int(group.max()) + 1)])[group]
    found = between_spectrum(gram([x]), group, dim)
    dense = eigenvalues(torch.cov(means.T, correction=0))
    written = found.values.repeat_interleave(found.multiplicity.long())
    torch.testing.assert_close(written, dense, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("rows", [40, 400])
def test_large_report_agrees_with_the_dense_one(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the dense report of the same data; 40 rows go by products, 400 by Lanczos."""
    x = (rows_of(rows, 60) * torch.logspace(-1, 1, 60)).float()
    label = torch.arange(rows) % 2
    dense = conditioning(x, label, times=3, intervals=False)
    module = sys.modules["precond_gm.diagnostics.conditioning"]
    monkeypatch.setattr(module, "DENSE_DIM", 50)
    monkeypatch.setattr(large_module, "GRAM_ROWS", 100)
    found = conditioning(x, label, times=3)
    torch.testing.assert_close(found.condition_number, dense.condition_number, rtol=0.01, atol=0)
    torch.testing.assert_close(found.effective_rank, dense.effective_rank, rtol=0.1, atol=0)
    assert "covariance was not formed" in found.notes[-1]
    if rows == 40:
        assert found.noise_count == dense.noise_count
        for name, part in dense.per_label.items():
            expected = part.condition_number[1]
            torch.testing.assert_close(found.per_label[name].condition_number[1], expected)
        for part, expected in ((found.within, dense.within), (found.between, dense.between)):
            assert part is not None
            assert expected is not None
            torch.testing.assert_close(part.condition_number, expected.condition_number)
            torch.testing.assert_close(part.effective_rank, expected.effective_rank)
    with pytest.raises(InvalidInputError, match="coupling='independent'"):
        conditioning(x, source=x)
