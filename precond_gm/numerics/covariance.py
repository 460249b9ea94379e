r"""Covariance of z_t at every t, by algebra from the second moments of the two ends.

.. math::
    \Sigma_t = \alpha^2 S_0 + \beta^2 S_1 + \alpha \beta (C + C^T) + \gamma^2 I,
    \qquad C = \mathrm{Cov}(z_0, z_1)

No point on the path is ever drawn. With ``S_0 = I`` and ``C = 0`` all these matrices commute, and
one eigendecomposition serves every t.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.numerics.moments import Moments
from precond_gm.numerics.spectrum import eigenvalues
from precond_gm.values import Coefficients

__all__ = ["EndCovariance"]

_ENTRIES_AT_ONCE = 2**25  # 256 MiB of float64 matrices in one batched eigendecomposition


@dataclass(frozen=True)
class EndCovariance:
    """Covariance blocks of the pair (z0, z1).

    Attributes:
        data: ``S1``, shape ``dim dim``.
        source: ``S0``, or None for the identity.
        cross: ``C = Cov(z0, z1)``, or None for zero (independent ends).
    """

    data: Tensor
    source: Tensor | None = None
    cross: Tensor | None = None

    @classmethod
    def of_pairs(cls, joint: Moments, *, match_source: bool) -> EndCovariance:
        """Split the moments of rows ``(z0, z1)`` into blocks.

        Args:
            joint: Moments of the concatenated rows, ``2 dim`` features.
            match_source: The source is known to be N(0, I): the sampled z0 are mapped linearly to
                exactly that covariance first, which removes their sampling error from ``S0`` and
                most of it from ``C``, and keeps the joint matrix positive.
        """
        dim = joint.dim // 2
        blocks = joint.covariance
        source, cross, data = blocks[:dim, :dim], blocks[:dim, dim:], blocks[dim:, dim:]
        if match_source and joint.count > joint.dim:  # with fewer rows S0 cannot be inverted
            values, vectors = torch.linalg.eigh(source)
            root = vectors @ (values.rsqrt()[:, None] * vectors.T)
            return cls(data, None, root @ cross)
        return cls(data, source, cross)

    @property
    def commutes(self) -> bool:
        """Whether one eigendecomposition, that of ``S1``, serves every t."""
        return self.source is None and self.cross is None

    def at(self, c: Coefficients) -> Tensor:
        """Return Sigma_t at the times of ``c``, shape ``times dim dim``."""
        eye = torch.eye(self.data.shape[0], dtype=self.data.dtype, device=self.data.device)
        alpha, beta, variance = (v[:, None, None] for v in (c.alpha, c.beta, c.variance))
        sigma = beta**2 * self.data + variance * eye
        sigma = sigma + alpha**2 * (eye if self.source is None else self.source)
        if self.cross is not None:
            sigma = sigma + alpha * beta * (self.cross + self.cross.T)
        return sigma

    def spectrum(self, c: Coefficients) -> Tensor:
        """Return the eigenvalues of Sigma_t, ascending, shape ``times dim``."""
        if self.commutes:
            base = (c.alpha**2 + c.variance)[:, None]
            return base + c.beta[:, None] ** 2 * eigenvalues(self.data)
        return torch.cat([eigenvalues(self.at(part)) for part in self.blocks(c)])

    def blocks(self, c: Coefficients) -> Iterator[Coefficients]:
        """Yield the times in blocks whose matrices fit in memory together."""
        at_once = max(1, _ENTRIES_AT_ONCE // self.data.numel())
        for start in range(0, c.alpha.shape[0], at_once):
            yield _slice(c, start, start + at_once)


def _slice(c: Coefficients, start: int, stop: int) -> Coefficients:
    """Return the coefficients at some of the times; Sigma_t needs these three alone."""
    part = slice(start, stop)
    zeros = torch.zeros_like(c.alpha[part])
    return Coefficients(c.alpha[part], zeros, c.beta[part], zeros, c.variance[part], zeros)
