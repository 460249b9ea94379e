r"""Gaussian laws with exact distances that stay exact where two laws nearly agree.

The textbook forms of the Kullback-Leibler divergence and of W2 subtract numbers of order one to
get one of order h^2. Both are written here in the *difference* of the two laws instead.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.noise import standard_normal

__all__ = ["Gaussian", "kl_from_gaps", "root"]


class Gaussian(NamedTuple):
    """Gaussian laws; leading axes are a batch of laws. Unpacks as ``mean, covariance``.

    Attributes:
        mean: Shape ``*laws dim``.
        covariance: Shape ``*laws dim dim``, positive semi-definite.

    Example:
        >>> import torch
        >>> p = Gaussian(torch.zeros(1), torch.eye(1))
        >>> q = Gaussian(torch.ones(1), torch.eye(1))
        >>> float(p.kl(q)), float(p.w2(q))
        (0.5, 1.0)
    """

    mean: Tensor
    covariance: Tensor

    def kl(self, other: Gaussian) -> Tensor:
        """Return KL(self || other), shape ``*laws``; infinite where self is degenerate.

        Raises:
            InvalidInputError: The covariance of ``other`` is not positive definite.
        """
        return kl_from_gaps(
            other.mean - self.mean, other.covariance - self.covariance, other.covariance
        )

    def w2(self, other: Gaussian) -> Tensor:
        r"""Return the 2-Wasserstein distance, shape ``*laws``.

        :math:`W_2^2 = |m - m'|^2 + \min_R \|S^{1/2} - S'^{1/2} R\|_F^2` over orthogonal R: a sum
        of squares, so it has no cancellation. R is the polar factor of :math:`S'^{1/2} S^{1/2}`.
        """
        mine, theirs = root(self.covariance), root(other.covariance)
        left, _, right = torch.linalg.svd(theirs @ mine)
        gap = mine - theirs @ (left @ right)
        square = (self.mean - other.mean).square().sum(-1) + gap.square().sum((-2, -1))
        return square.sqrt()

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density of rows ``batch dim``, for one law or one law per row.

        Raises:
            InvalidInputError: The covariance is not positive definite.
        """
        factor = _factor(self.covariance, "the covariance").to(z.dtype)
        gap = z - self.mean.to(z.dtype)
        if self.mean.ndim == 1:  # one factor serves all rows
            white = torch.linalg.solve_triangular(factor, gap.mT, upper=False).mT
        else:
            white = torch.linalg.solve_triangular(factor, gap.unsqueeze(-1), upper=False)[..., 0]
        log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (white.square().sum(-1) + z.shape[-1] * math.log(2 * math.pi)) - log_det

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``n`` rows from one law, shape ``n dim``."""
        noise = standard_normal(self.mean.expand(n, -1), generator)
        return self.mean + noise @ root(self.covariance)


def kl_from_gaps(gap_mean: Tensor, gap_covariance: Tensor, covariance: Tensor) -> Tensor:
    r"""Return KL(p || q) from what q has more than p.

    With :math:`L L^T = S_q` and :math:`\delta_i` the eigenvalues of :math:`L^{-1}(S_p - S_q)L^{-T}`
    it is :math:`\frac12 \sum_i (\delta_i - \log(1 + \delta_i)) + \frac12 |L^{-1}(m_q - m_p)|^2`.

    Args:
        gap_mean: Mean of q minus mean of p, shape ``*laws dim``.
        gap_covariance: Covariance of q minus covariance of p.
        covariance: Covariance of q.

    Raises:
        InvalidInputError: ``covariance`` is not positive definite.
    """
    factor = _factor(covariance, "the covariance of the second law")
    half = torch.linalg.solve_triangular(factor, -gap_covariance, upper=False)
    relative = torch.linalg.solve_triangular(factor, half.mT, upper=False)
    delta = torch.linalg.eigvalsh(0.5 * (relative + relative.mT)).clamp_min(-1.0)
    white = torch.linalg.solve_triangular(factor, gap_mean.unsqueeze(-1), upper=False)
    return 0.5 * ((delta - delta.log1p()).sum(-1) + white.square().sum((-2, -1)))


def root(covariance: Tensor) -> Tensor:
    """Return the symmetric root of positive semi-definite matrices."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt().unsqueeze(-2)) @ vectors.mT


def _factor(covariance: Tensor, name: str) -> Tensor:
    factor, info = torch.linalg.cholesky_ex(covariance)
    if bool((info > 0).any()):
        raise InvalidInputError(
            f"{name} is not positive definite, so the density does not exist. Use w2, which "
            f"needs no density, or stop before the time where it degenerates."
        )
    return factor
