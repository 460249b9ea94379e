"""Whitening and standardising."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from precond_gm.errors import InvalidInputError, InvalidTypeError, NotFittedError
from precond_gm.numerics.blocks import BlockMoments
from precond_gm.numerics.moments import Moments
from precond_gm.preconditioners import Standardize, Whiten
from precond_gm.preconditioners.laws import ledoit_wolf, log_likelihood


def rotated(eigenvalues: Tensor, rows: int, seed: int, mean: float = 0.0) -> Tensor:
    """Draw rows whose sample covariance has exactly these eigenvalues, turned at random."""
    draw = torch.Generator().manual_seed(seed)
    dim = eigenvalues.shape[0]
    x = torch.randn(rows, dim, generator=draw, dtype=torch.float64)
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / rows)).T
    turn = torch.linalg.qr(torch.randn(dim, dim, generator=draw, dtype=torch.float64))[0]
    return x * eigenvalues.sqrt() @ turn.T + mean


def mixture(dim: int = 5, rows: int = 400) -> tuple[Tensor, Tensor]:
    spectrum = torch.logspace(-4, 1, dim, dtype=torch.float64)
    x = torch.cat([rotated(spectrum, rows, seed, mean=3.0 * seed) for seed in range(3)])
    return x, torch.arange(3).repeat_interleave(rows)


@pytest.mark.parametrize("form", ["zca", "pca"])
def test_covariance_is_exactly_one_per_label(form: str, device: torch.device) -> None:
    """Oracle: the definition of whitening on the rows fitted on; tolerance: float64 times cond."""
    x, label = (part.to(device) for part in mixture())
    part = Whiten(form=form, shrinkage="none")
    part.fit(x, label)
    z = part(x, label).value
    for index in range(3):
        rows = z[label == index]
        expected = torch.eye(5, dtype=torch.float64, device=device)
        torch.testing.assert_close(rows.T @ rows / 400, expected, rtol=0, atol=1e-9)
        torch.testing.assert_close(rows.mean(0), torch.zeros_like(rows[0]), rtol=0, atol=1e-9)


def test_zca_matrix_is_symmetric_and_pca_is_sorted() -> None:
    """Oracle: ZCA is S^-1/2, a symmetric matrix; PCA coordinates have falling variance in x."""
    x, label = mixture()
    zca, pca = Whiten(shrinkage="none"), Whiten(form="pca", shrinkage="none")
    zca.fit(x, label)
    pca.fit(x, label)
    matrices = zca.operator.matrices()[:, 0]
    torch.testing.assert_close(matrices, matrices.mT, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        matrices[0] @ matrices[0],
        torch.linalg.inv(Moments.of(x[label == 0]).covariance),
        rtol=1e-7,
        atol=1e-7,
    )
    assert bool((pca.operator.scale.diff(dim=2) > 0).all())


def test_log_determinant_is_that_of_the_covariance() -> None:
    """Oracle: log|det S^-1/2| = -(1/2) log det S, from the prescribed eigenvalues."""
    spectrum = torch.tensor([1e-3, 1.0, 50.0], dtype=torch.float64)
    x = rotated(spectrum, 100, seed=1)
    part = Whiten(shrinkage="none")
    part.fit(x)
    expected = -0.5 * spectrum.log().sum()
    torch.testing.assert_close(part(x).log_abs_det, expected.expand(100), rtol=1e-9, atol=1e-9)


def test_shared_ignores_labels() -> None:
    """Oracle: the map fitted without labels."""
    x, label = mixture()
    shared, plain = Whiten(shared=True, shrinkage="none"), Whiten(shrinkage="none")
    shared.fit(x, label)
    plain.fit(x)
    assert shared.num_labels is None
    torch.testing.assert_close(shared(x, label).value, plain(x).value)
    torch.testing.assert_close(shared(x).value, plain(x).value)


@pytest.mark.parametrize("part", [Whiten(shrinkage="none"), Standardize()])
def test_stream_equals_tensor(part: Whiten | Standardize) -> None:
    """Moments merge exactly. Oracle: the fit on one tensor; tolerance: rounding times cond."""
    x, label = mixture()
    part.fit(x, label)
    expected = part(x, label).value
    order = torch.randperm(x.shape[0], generator=torch.Generator().manual_seed(0))
    part.fit(iter([(x[pick], label[pick]) for pick in order.split(177)]))
    torch.testing.assert_close(part(x, label).value, expected, rtol=1e-7, atol=1e-7)


def test_held_out_conditioning_of_a_known_mixture() -> None:
    """Oracle: 1, up to sampling noise of about 1 + 4 sqrt(d/n_train + d/n_test) = 1.5 here."""
    x, label = mixture(rows=6000)
    report = Whiten().fit(x, label)
    assert report.condition_before > 5e4
    assert report.condition_after < 1.6
    assert "shrinkage: none" in report.notes


def test_shrinkage_is_chosen_by_likelihood() -> None:
    """With fewer rows than features per label and one common law, the pooled covariance wins.

    Oracle: all labels share a covariance, so pooling can only help.
    """
    spectrum = torch.logspace(-2, 1, 12, dtype=torch.float64)
    x = rotated(spectrum, 600, seed=0)[
        torch.randperm(600, generator=torch.Generator().manual_seed(1))
    ]
    label = torch.arange(600) % 60
    auto, none = Whiten(), Whiten(shrinkage="none")
    chosen, bare = auto.fit(x, label), none.fit(x, label)
    assert chosen.notes[0].startswith("shrinkage: pooled")
    assert chosen.log_likelihood > bare.log_likelihood
    assert any("raised" in note for note in bare.notes)


def test_ledoit_wolf_against_scikit_learn() -> None:
    """Oracle: scikit-learn's estimator on standardised features, scaled back; exact formula."""
    from sklearn.covariance import ledoit_wolf as oracle

    x = rotated(torch.logspace(-4, 1, 6, dtype=torch.float64), 40, seed=2)
    law = BlockMoments.of(x[:, None])
    deviation = law.covariance[0].diagonal().sqrt()
    u = (x - law.mean) / deviation
    expected, _ = oracle(u.numpy(), assume_centered=True)
    fourth = u.square().sum(1).square().mean()
    got = ledoit_wolf(law, fourth)[0] / torch.outer(deviation, deviation)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_log_likelihood_from_moments() -> None:
    """Oracle: torch's multivariate normal, row by row. Tolerance: the floor of 1e-12."""
    x, y = rotated(torch.ones(3).double() * 2, 50, 0), rotated(torch.ones(3).double(), 30, 1, 0.5)
    law = BlockMoments.of(x[:, None])
    expected = (
        torch.distributions.MultivariateNormal(law.mean[0], law.covariance[0]).log_prob(y).sum()
    )
    got = log_likelihood(BlockMoments.of(y[:, None]), law.mean, law.covariance, 1e-12)
    assert got == pytest.approx(float(expected), rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    dim=st.integers(1, 6),
    labels=st.integers(1, 4),
    low=st.floats(-8, 0),
    form=st.sampled_from(["zca", "pca"]),
    single=st.booleans(),
    far=st.sampled_from([0.0, 40.0]),
)
def test_round_trip(dim: int, labels: int, low: float, form: str, single: bool, far: float) -> None:
    """T^-1(T(x)) = x for spectra down to 1e-8 and rows 40 deviations out.

    Oracle: the identity. Tolerance: 200 eps relative to the largest entry; the factored form does
    not pay for the condition number.
    """
    spectrum = torch.logspace(low, 0, dim, dtype=torch.float64)
    x = torch.cat([rotated(spectrum, 40, seed, mean=seed) for seed in range(labels)])
    label = torch.arange(labels).repeat_interleave(40)
    x = x.float() if single else x
    part = Whiten(form=form, shrinkage="none")
    part.fit(x, label)
    mean = label[:, None].to(x)
    rows = mean + (x - mean) * (1 + far)
    back = part.inverse(part(rows, label).value, label).value
    allowed = 200 * torch.finfo(x.dtype).eps * float(rows.abs().max())
    assert float((back - rows).abs().max()) <= allowed


def test_singular_covariance_is_handled_and_said() -> None:
    """A constant and a repeated feature stay finite. Oracle: the identity for the round trip."""
    x = torch.randn(300, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.cat([x, x[:, :1], torch.full((300, 1), 7.0, dtype=torch.float64)], 1)
    part = Whiten(shrinkage="none")
    report = part.fit(x)
    assert any("2 of 5 eigenvalues" in note for note in report.notes)
    z = part(x).value
    assert bool(torch.isfinite(z).all())
    torch.testing.assert_close(part.inverse(z).value, x, rtol=0, atol=1e-9)


def test_label_with_one_row_or_none_uses_the_pooled_law() -> None:
    """Oracle: the pooled covariance; the note names the labels."""
    x, label = mixture()
    keep = (label < 2) | (torch.arange(x.shape[0]) == x.shape[0] - 1)
    part = Whiten(shrinkage="none")
    report = part.fit(x[keep], label[keep], num_labels=4)
    assert any("labels [2, 3] have fewer than 2 rows" in note for note in report.notes)
    matrices = part.operator.matrices()
    torch.testing.assert_close(matrices[2], matrices[3])
    assert part.num_labels == 4


def test_autocast_changes_nothing() -> None:
    """The round trip in bfloat16 would be off by 0.05. Oracle: the map without autocast."""
    x, label = mixture()
    part = Whiten()
    part.fit(x.float(), label)
    expected = part(x.float(), label).value
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = part(x.float(), label).value
    assert torch.equal(got, expected)


def test_float64_stays_float64_and_shape_stays() -> None:
    """Oracle: the dtype and the shape of the rows."""
    x = torch.randn(200, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for part in (Whiten(), Standardize()):
        part.fit(x)
        assert part(x).value.dtype == torch.float64
        assert part(x).value.shape == x.shape


BAD = [
    (torch.full((4, 2), float("nan")), None, InvalidInputError, "nan at row 0"),
    (torch.ones(10, 2), None, InvalidInputError, "constant"),
    (torch.randn(1, 2), None, InvalidInputError, "at least 2 rows"),
    (torch.randn(4, 2), torch.tensor([0, 1, 5, 1]), InvalidInputError, "label is 5 at row 2"),
    (torch.randn(4, 2), torch.zeros(4), InvalidTypeError, "integer tensor"),
    (torch.ones(4, 2, dtype=torch.long), None, InvalidTypeError, "floating point"),
]


@pytest.mark.parametrize(("x", "label", "error", "text"), BAD)
@pytest.mark.parametrize("cls", [Whiten, Standardize])
def test_bad_rows(
    cls: type[Whiten], x: Tensor, label: Tensor | None, error: type[Exception], text: str
) -> None:
    """Oracle: the message names what is wrong and where."""
    with pytest.raises(error, match=text):
        cls().fit(x, label, num_labels=3)


def test_zca_is_the_optimal_transport_map() -> None:
    """Oracle: POT's Bures map between the Gaussian of the rows and N(0, I)."""
    import ot

    x = rotated(torch.logspace(-3, 1, 4, dtype=torch.float64), 300, seed=3, mean=2.0)
    part = Whiten(shrinkage="none")
    part.fit(x)
    law = Moments.of(x)
    matrix, shift = ot.gaussian.bures_wasserstein_mapping(
        law.mean.numpy(), np.zeros(4), law.covariance.numpy(), np.eye(4)
    )
    expected = x.numpy() @ matrix + shift
    np.testing.assert_allclose(part(x).value, expected, rtol=1e-7, atol=1e-7)


def test_label_that_was_never_fitted_is_refused() -> None:
    """Oracle: the message names the label, the row and the range."""
    x, label = mixture()
    part = Whiten()
    part.fit(x, label)
    with pytest.raises(InvalidInputError, match=r"label is 3 at row 1; labels are in 0\.\.2"):
        part.inverse(x[:2], torch.tensor([0, 3]))


def test_refusals() -> None:
    """Oracle: the message says what to do."""
    part = Whiten()
    with pytest.raises(NotFittedError, match="Call fit"):
        part(torch.zeros(2, 2))
    with pytest.raises(InvalidInputError, match="form is one of zca, pca"):
        Whiten(form="cholesky")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="Use 'spectral'"):
        part.fit(torch.zeros(4, 20_000))
    with pytest.raises(InvalidInputError, match="some batches carry labels"):
        part.fit([(torch.randn(4, 2), torch.zeros(4).long()), torch.randn(4, 2)])


def test_a_label_of_few_rows_is_not_whitened_by_its_own_covariance() -> None:
    """Three rows of eight features span two directions; a fourth row must not land far away.

    Oracle: rows of one normal law, so whitened ones have norms near sqrt(8), whatever the label.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(403, 8, generator=generator, dtype=torch.float64)
    label = torch.zeros(403, dtype=torch.long)
    label[400:] = 1
    part = Whiten()
    part.fit(x, label, num_labels=2)
    fresh = torch.randn(50, 8, generator=generator, dtype=torch.float64)
    z = part(fresh, torch.ones(50, dtype=torch.long)).value
    assert float(z.norm(dim=1).max()) < 30
