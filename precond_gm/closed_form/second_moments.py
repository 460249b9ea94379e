r"""Second moments of a Gaussian path at any time, in blocks.

``Sigma_t = (1-t)^2 S0 + t^2 S1 + t (1-t) (C + C^T + sigma^2 I)``, and the covariance of every
linear target with z_t is a polynomial in t; the gain of the target is their quotient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.closed_form.blocks import Blocks, decouple
from precond_gm.closed_form.targets import LinearTarget
from precond_gm.errors import InvalidInputError

__all__ = ["SecondMoments"]


@dataclass(frozen=True, eq=False)
class SecondMoments:
    """Covariances of the two ends, in blocks, and the noise scale.

    Attributes:
        blocks: The rotation that made the blocks.
        cov0, cov1, cross: Blocks ``count size size``; ``cross`` is ``Cov(z0, z1)``.
        sigma: Scale of the bridge's noise.
    """

    blocks: Blocks
    cov0: Tensor
    cov1: Tensor
    cross: Tensor
    sigma: float

    @classmethod
    def of(
        cls, cov0: Tensor, cov1: Tensor, cross: Tensor, sigma: float, *also: Tensor
    ) -> SecondMoments:
        """Split full matrices into the finest blocks that they and the matrices ``also`` share."""
        blocks = decouple(cov0, cov1, cross, *also)
        return cls(blocks, blocks.matrix(cov0), blocks.matrix(cov1), blocks.matrix(cross), sigma)

    @property
    def identity(self) -> Tensor:
        """Return the identity of one block."""
        return torch.eye(self.blocks.size, dtype=self.cov0.dtype, device=self.cov0.device)

    def covariance(self, t: Tensor) -> Tensor:
        """Return ``Sigma_t`` at times of any shape, ``*times count size size``."""
        t = t.reshape(*t.shape, 1, 1, 1)
        s = 1 - t
        mixed = self.cross + self.cross.mT + self.sigma**2 * self.identity
        return s**2 * self.cov0 + t**2 * self.cov1 + s * t * mixed

    @property
    def curvature(self) -> Tensor:
        """Return the coefficient of ``t^2`` in ``Sigma_t``."""
        mixed = self.cross + self.cross.mT + self.sigma**2 * self.identity
        return self.cov0 + self.cov1 - mixed

    def with_path(self, target: LinearTarget, t: Tensor) -> Tensor:
        """Return the covariance of a linear target with z_t, ``*times count size size``."""
        t = t.reshape(*t.shape, 1, 1, 1)
        source = (1 - t) * self.cov0 + t * self.cross
        data = (1 - t) * self.cross.mT + t * self.cov1
        return target.source * source + target.data * data + target.noise_at(t) * self.identity

    def gain(self, target: LinearTarget, t: Tensor) -> Tensor:
        """Return ``Cov(target, z_t) Sigma_t^-1``, the slope of its conditional mean.

        Raises:
            InvalidInputError: ``Sigma_t`` is singular (on a device: NaN instead).
        """
        factor, info = torch.linalg.cholesky_ex(self.covariance(t))
        failed = info > 0
        if failed.device.type == "cpu" and bool(failed.any()):
            when = float(t.expand(failed.shape[:-1])[failed.any(-1)].flatten()[0])
            raise InvalidInputError(
                f"the covariance of z_t is singular at t = {when:.6g}, where the drift does not "
                f"exist. Stop before that time, or use sigma > 0."
            )
        solved = torch.cholesky_solve(self.with_path(target, t).mT, factor).mT
        return torch.where(failed[..., None, None], torch.nan, solved)

    def posterior_covariance(self, t: Tensor) -> Tensor:
        r"""Return ``Cov(z1 | z_t)`` as a sum without cancellation near t = 1.

        It is the covariance of ``z1 - K z_t = M z1 - K ((1-t) z0 + gamma eps)`` with
        ``M = I - t K = (1-t) ((1-t) S0 + t C + sigma^2 t I) Sigma_t^-1``.
        """
        gain = self.gain(LinearTarget(0, 1), t)
        rest = self.gain(LinearTarget(1, 0, noise_slope=self.sigma**2), t)
        t = t.reshape(*t.shape, 1, 1, 1)
        s = 1 - t
        keep = s * rest
        noise = s**2 * self.cov0 + self.sigma**2 * t * s * self.identity
        mixed = s * keep @ self.cross.mT @ gain.mT
        return keep @ self.cov1 @ keep.mT + gain @ noise @ gain.mT - mixed - mixed.mT
