"""Spectra without the matrix, against dense eigendecompositions of the same matrices."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from precond_gm.diagnostics import conditioning
from precond_gm.diagnostics import large as large_module
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.krylov import gram, gram_spectrum, lanczos_spectrum
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


@pytest.mark.parametrize("rows", [40, 400])
def test_large_report_agrees_with_the_dense_one(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the dense report of the same data; 40 rows go by products, 400 by Lanczos."""
    x = (rows_of(rows, 60) * torch.logspace(-1, 1, 60)).float()
    label = torch.arange(rows) % 2
    dense = conditioning(x, label, times=3, intervals=False)
    module = __import__("sys").modules["precond_gm.diagnostics.conditioning"]
    monkeypatch.setattr(module, "DENSE_DIM", 50)
    monkeypatch.setattr(large_module, "GRAM_ROWS", 100)
    found = conditioning(x, label, times=3)
    torch.testing.assert_close(
        found.condition_number[1:-1], dense.condition_number[1:-1], rtol=0.01, atol=0
    )
    torch.testing.assert_close(found.effective_rank, dense.effective_rank, rtol=0.1, atol=0)
    assert "covariance was not formed" in found.notes[-1]
    if rows == 40:
        assert found.noise_count == dense.noise_count
        for name, part in dense.per_label.items():
            expected = part.condition_number[1]
            torch.testing.assert_close(found.per_label[name].condition_number[1], expected)
    with pytest.raises(InvalidInputError, match="coupling='independent'"):
        conditioning(x, source=x)
