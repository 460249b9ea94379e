"""Gaussian distances against other formulas, and where those formulas lose their digits."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.gaussian import Gaussian, root

F64 = torch.float64


def _law(seed: int, dim: int = 4) -> Gaussian:
    draw = torch.Generator().manual_seed(seed)
    factor = torch.randn(dim, dim, dtype=F64, generator=draw)
    return Gaussian(
        torch.randn(dim, dtype=F64, generator=draw), factor @ factor.mT + 0.2 * torch.eye(dim)
    )


def _torch(law: Gaussian) -> MultivariateNormal:
    return MultivariateNormal(law.mean, law.covariance)


def test_kl_and_log_prob() -> None:
    """Oracle: torch.distributions. Tolerance: rounding at condition numbers of about 100."""
    p, q = _law(0), _law(1)
    torch.testing.assert_close(p.kl(q), kl_divergence(_torch(p), _torch(q)), rtol=1e-11, atol=0)
    z = torch.randn(5, 4, dtype=F64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(p.log_prob(z), _torch(p).log_prob(z), rtol=1e-11, atol=0)
    rows = Gaussian(p.mean.expand(5, -1), p.covariance.expand(5, -1, -1))
    torch.testing.assert_close(rows.log_prob(z), p.log_prob(z), rtol=1e-11, atol=0)


def test_w2_is_the_bures_distance() -> None:
    """Oracle: the textbook trace formula with scipy's matrix root. Tolerance: its cancellation."""
    p, q = _law(2), _law(3)
    s = sqrtm(p.covariance.numpy())
    inner = torch.from_numpy(sqrtm(s @ q.covariance.numpy() @ s).real)
    square = (p.mean - q.mean).square().sum() + (p.covariance + q.covariance - 2 * inner).trace()
    torch.testing.assert_close(p.w2(q), square.sqrt(), rtol=1e-9, atol=0)


def test_tiny_differences_keep_their_digits() -> None:
    """Scaling by 1 + e: KL = d (e - log(1 + e)) / 2 reversed, W2 = |sqrt(1+e) - 1| sqrt(tr S).

    Oracle: the closed form in one number, by mpmath-free expansion. Tolerance: eps / e.
    """
    p = _law(4)
    e = 1e-7
    q = Gaussian(p.mean, p.covariance * (1 + e))
    ratio = -e / (1 + e)  # of p against q, minus one
    kl = 0.5 * 4 * (ratio**2 / 2 - ratio**3 / 3)
    assert float(p.kl(q)) == pytest.approx(kl, rel=1e-6)
    w2 = math.sqrt(float(p.covariance.trace())) * (e / 2 - e**2 / 8)
    assert float(p.w2(q)) == pytest.approx(w2, rel=1e-6)


def test_distances_are_batched() -> None:
    """A batch of laws gives a batch of distances. Oracle: one at a time."""
    laws = [_law(k) for k in range(3)]
    batch = Gaussian(torch.stack([p.mean for p in laws]), torch.stack([p.covariance for p in laws]))
    other = _law(7)
    many = Gaussian(other.mean.expand(3, -1), other.covariance.expand(3, -1, -1))
    torch.testing.assert_close(batch.kl(many), torch.stack([p.kl(other) for p in laws]))
    torch.testing.assert_close(batch.w2(many), torch.stack([p.w2(other) for p in laws]))


def test_degenerate_laws() -> None:
    """A point has a W2 but no density. Oracle: W2 to a point is sqrt(tr S + |m|^2)."""
    p, point = _law(0), Gaussian(torch.zeros(4, dtype=F64), torch.zeros(4, 4, dtype=F64))
    expected = (p.covariance.trace() + p.mean.square().sum()).sqrt()
    torch.testing.assert_close(p.w2(point), expected)
    torch.testing.assert_close(point.w2(p), expected)
    assert float(point.kl(p)) == math.inf
    with pytest.raises(InvalidInputError, match="second law is not positive definite"):
        p.kl(point)


def test_samples_have_the_moments() -> None:
    """Oracle: mean and covariance. Tolerance: 5 standard errors, and their delta-method bound."""
    p, n = _law(0), 40_000
    z = p.sample(n, generator=torch.Generator().manual_seed(1))
    error = (z.mean(0) - p.mean) / (p.covariance.diagonal() / n).sqrt()
    assert float(error.abs().max()) < 5
    spread = (p.covariance.diagonal().outer(p.covariance.diagonal()) * 2 / n).sqrt()
    assert float(((z.T.cov() - p.covariance) / spread).abs().max()) < 5


def test_root_squares_to_its_input() -> None:
    """Oracle: the definition."""
    s: Tensor = _law(5).covariance
    torch.testing.assert_close(root(s) @ root(s), s)
