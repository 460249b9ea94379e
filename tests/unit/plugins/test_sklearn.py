"""scikit-learn's estimators as preconditioners, and preconditioners as its transformers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.preprocessing import PowerTransformer
from torch import Tensor

from precond_gm.preconditioners import REGISTRY, Whiten
from precond_gm_sklearn import PreconditionerTransformer


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def correlated() -> Tensor:
    return noise(2000, 3) @ noise(3, 6, seed=1) + noise(2000, 6, seed=2) * torch.arange(1, 7) / 5


def image_covariance(x: Tensor, name: str, **options: object) -> Tensor:
    part = REGISTRY.create(name, **options)
    part.fit(x)
    matrix = part.operator.matrices()[0, 0]
    return torch.linalg.inv(matrix.T @ matrix)


def test_covariances_are_those_of_scikit_learn() -> None:
    """Oracle: scikit-learn's estimators on the rows themselves; FA stops at a tolerance of 1e-2."""
    x = correlated()
    expected = PCA(2).fit(x.numpy()).get_covariance() * 1999 / 2000
    np.testing.assert_allclose(
        image_covariance(x, "sklearn.pca", components=2), expected, rtol=1e-6
    )
    expected = FactorAnalysis(3, svd_method="lapack").fit(x.numpy()).get_covariance()
    got = image_covariance(x, "sklearn.factor-analysis", factors=3)
    np.testing.assert_allclose(got, expected, rtol=0.05, atol=0.02)


def test_all_components_are_whitening() -> None:
    """Oracle: ``whiten`` in PCA form, up to the signs of the directions."""
    x, label = correlated(), torch.arange(2000) % 2
    part, whole = REGISTRY.create("sklearn.pca"), Whiten(form="pca", shrinkage="none")
    part.fit(x, label)
    whole.fit(x, label)
    got, expected = part(x, label).value.abs(), whole(x, label).value.abs()
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


def test_power_is_the_transform_of_scikit_learn() -> None:
    """Oracle: PowerTransformer on standardised rows, where its exponents are within [0, 2]."""
    x = noise(1000, 2).mul(0.3).exp()
    part = REGISTRY.create("sklearn.power")
    part.fit(x)
    u = (x - x.mean(0)) / x.std(0, correction=0)
    oracle = PowerTransformer("yeo-johnson").fit(u.numpy())
    assert ((oracle.lambdas_ >= 0) & (oracle.lambdas_ <= 2)).all()
    np.testing.assert_allclose(part(x).value, oracle.transform(u.numpy()), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["sklearn.power", "sklearn.quantile"])
def test_bijection_of_the_line(name: str) -> None:
    """Rows far beyond the training range come back. Oracles: the identity; autograd for log |det|.

    scikit-learn's own quantile transform is off by 150 there.
    """
    x = noise(800, 2).exp()
    part = REGISTRY.create(name)
    part.fit(x)
    rows = torch.tensor([[-40.0, 300.0], [0.5, 2.0], [1000.0, -3.0]], dtype=torch.float64)
    image = part(rows)
    torch.testing.assert_close(part.inverse(image.value).value, rows, rtol=1e-9, atol=1e-9)
    for index, row in enumerate(rows):
        jacobian = torch.autograd.functional.jacobian(lambda v: part(v[None]).value[0], row)
        log_det = torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(image.log_abs_det[index], log_det, rtol=1e-8, atol=1e-8)


def test_quantile_makes_features_normal() -> None:
    """Oracle: moments 0, 1, 0 of N(0, 1), within 5 sigma of 4000 rows and 32 pieces."""
    x = noise(4000, 2).exp()
    part = REGISTRY.create("sklearn.quantile")
    part.fit(x)
    z = part(x).value
    assert float(z.mean(0).abs().max()) < 0.05
    assert float((z.var(0) - 1).abs().max()) < 0.1
    assert float(((z - z.mean(0)) / z.std(0)).pow(3).mean(0).abs().max()) < 0.3


def test_tied_values_stay_invertible() -> None:
    """Half of the rows are one value: its quantiles are tied. Oracle: the identity."""
    x = noise(500, 1).clamp_min(0)
    part = REGISTRY.create("sklearn.quantile")
    part.fit(x)
    torch.testing.assert_close(part.inverse(part(x).value).value, x, rtol=1e-8, atol=1e-8)


def test_transformer_with_labels() -> None:
    """Oracle: the preconditioner itself."""
    x, label = correlated(), torch.arange(2000) % 2
    transformer = PreconditionerTransformer(["standardize", "whiten"], conditional=True)
    transformer.fit(x.numpy(), label.numpy())
    z = transformer.transform(x.numpy(), label.numpy())
    part = REGISTRY.resolve(["standardize", "whiten"])
    part.fit(x, label, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(z, part(x, label).value, rtol=1e-10, atol=1e-10)
    back = transformer.inverse_transform(z, label.numpy())
    np.testing.assert_allclose(back, x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["whiten", "standardize", "low-rank"])
def test_check_estimator(name: str) -> None:
    """Oracle: scikit-learn's own conformance checks."""
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(PreconditionerTransformer(name))


def test_transformer_takes_targets_of_small_integers() -> None:
    """Image files give uint8. Oracle: the images of int64 targets, bit for bit."""
    x, label = correlated().numpy(), np.arange(2000) % 2
    images = []
    for own in (label, label.astype(np.uint8)):
        transformer = PreconditionerTransformer("whiten", conditional=True).fit(x, own)
        images.append(transformer.transform(x, own))
    np.testing.assert_array_equal(*images)
