r"""What bridges with a Gaussian law share: drifts, laws of schemes, and exact errors."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.closed_form import targets
from precond_gm.closed_form.base import AbstractBridge
from precond_gm.closed_form.discretised import Gaps, gaps
from precond_gm.closed_form.drift_error import DriftError
from precond_gm.closed_form.inputs import check_inside
from precond_gm.closed_form.path_kl import path_kl
from precond_gm.closed_form.second_moments import SecondMoments
from precond_gm.closed_form.targets import LinearTarget
from precond_gm.numerics.gaussian import Gaussian, root
from precond_gm.numerics.grid import check_times
from precond_gm.numerics.noise import standard_normal
from precond_gm.values import Pairing

__all__ = ["AbstractGaussianBridge"]

_ENTRIES_AT_ONCE = 2**22  # of the per-row matrices, when every row has its own time
_EXACT = DriftError()


class AbstractGaussianBridge(AbstractBridge):
    """Bridge whose ends are jointly Gaussian; concrete classes check what they are given.

    Attributes:
        mean0, mean1: Means of the ends, float64.
        cov0, cov1: Their covariances.
        cross: ``Cov(z0, z1)``.
        sigma: Scale of the bridge's noise.
    """

    def __init__(
        self,
        mean0: Tensor,
        cov0: Tensor,
        mean1: Tensor,
        cov1: Tensor,
        cross: Tensor,
        sigma: float,
    ) -> None:
        self.mean0, self.cov0 = mean0, cov0
        self.mean1, self.cov1 = mean1, cov1
        self.cross, self.sigma = cross, sigma
        self._moments = SecondMoments.of(cov0, cov1, cross, sigma)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.mean0.shape[0]

    def marginal(self, t: Tensor | float) -> Gaussian:  # type: ignore[override]
        """Return the law of z_t; for times of shape batch, a batch of laws."""
        t = self._times(t)
        covariance = self._moments.blocks.join_matrix(self._moments.covariance(t))
        return Gaussian(self._mean_at(t), covariance)

    def posterior_covariance(self, t: Tensor | float) -> Tensor:
        """Return ``Cov(z1 | z_t)``, which does not depend on the point, shape ``*t dim dim``."""
        t = self._times(t)
        return self._moments.blocks.join_matrix(self._moments.posterior_covariance(t))

    def roughness(self, t: Tensor | float) -> Tensor:
        r"""Return ``G(t) = E ||grad b_t(z_t)||_F^2``, of the shape of ``t``.

        The path KL of Euler-Maruyama is ``(h / 4) int G dt`` to leading order, for every sigma.
        """
        t = self._times(t)
        return self._moments.gain(targets.drift(self.sigma), t).square().sum((-3, -2, -1))

    def euler_maruyama_law(self, times: Tensor, *, error: DriftError = _EXACT) -> Gaussian:
        """Return the exact law of Euler-Maruyama at the end of a grid.

        The scheme starts from the exact law at ``times[0]`` and, for sigma = 0, is Euler's.

        Args:
            times: Grid of n + 1 increasing times.
            error: Affine error added to the drift.
        """
        return self._law(times, self._gaps(times, error))

    def endpoint_law(self, times: Tensor, *, corrected: bool = False) -> Gaussian:
        """Return the exact law of the endpoint (plug-in bridge) scheme at the end of a grid.

        Args:
            times: Grid of n + 1 increasing times.
            corrected: Whether the posterior variance of z1 is added back, which makes it exact.
        """
        return self._law(times, self._gaps(times, _EXACT, endpoint=True, corrected=corrected))

    def path_kl(self, times: Tensor, *, error: DriftError = _EXACT) -> Tensor:
        """Return KL(exact SDE || Euler-Maruyama) of the paths, by Girsanov, a scalar.

        Raises:
            InvalidInputError: sigma = 0, where it is infinite.
        """
        grid = self._grid(times)
        moments, shift, matrix = self._with_error(error)
        return path_kl(moments, grid, self._block_means(moments, grid), shift, matrix)

    def marginal_kl(self, times: Tensor, *, error: DriftError = _EXACT) -> Tensor:
        """Return KL(target || generated) at the end of a grid, a scalar."""
        return self._gaps(times, error).kl()

    def w2(self, times: Tensor, *, error: DriftError = _EXACT) -> Tensor:
        """Return W2 between target and generated law at the end of a grid, a scalar."""
        return self._gaps(times, error).w2()

    def sample_pairs(self, n: int, *, generator: torch.Generator | None = None) -> Pairing:
        """Draw ``n`` coupled ends, float64, shape ``n dim``."""
        joint = torch.cat(
            [
                torch.cat([self.cov0, self.cross], dim=1),
                torch.cat([self.cross.mT, self.cov1], dim=1),
            ]
        )
        noise = standard_normal(self.mean0.new_empty(n, 2 * self.dim), generator)
        rows = noise @ root(joint) + torch.cat([self.mean0, self.mean1])
        return Pairing(rows[:, : self.dim], rows[:, self.dim :])

    def _conditional_mean(
        self, target: LinearTarget, t: Tensor, x: Tensor, label: Tensor | None
    ) -> Tensor:
        offset = target.source * self.mean0 + target.data * self.mean1
        blocks, moments = self._moments.blocks, self._moments
        if t.shape[0] == 1:
            gain = blocks.join_matrix(moments.gain(target, t[0])).to(x.dtype)
            return torch.addmm(offset.to(x.dtype), x - self._mean_at(t).to(x.dtype), gain.mT)
        rows = max(1, _ENTRIES_AT_ONCE // moments.cov0[..., 0].numel() // blocks.size)
        parts = []
        for start in range(0, x.shape[0], rows):
            when, some = t[start : start + rows], x[start : start + rows]
            gap = blocks.rows(some - self._mean_at(when).to(x.dtype))
            gain = moments.gain(target, when).to(x.dtype)
            parts.append(blocks.join_rows((gain * gap.unsqueeze(-2)).sum(-1)))
        return torch.cat(parts) + offset.to(x.dtype)

    def _log_density(self, t: Tensor, x: Tensor) -> Tensor:
        return self.marginal(t[0] if t.shape[0] == 1 else t).log_prob(x)

    def _mean_at(self, t: Tensor) -> Tensor:
        t = t.unsqueeze(-1)
        return (1 - t) * self.mean0 + t * self.mean1

    def _times(self, t: Tensor | float) -> Tensor:
        return check_inside(torch.as_tensor(t, dtype=torch.float64, device=self.mean0.device))

    def _grid(self, times: Tensor) -> Tensor:
        return torch.tensor(check_times(times), dtype=torch.float64, device=self.mean0.device)

    def _block_means(self, moments: SecondMoments, grid: Tensor) -> Tensor:
        return moments.blocks.rows(self._mean_at(grid))

    def _with_error(self, error: DriftError) -> tuple[SecondMoments, Tensor, Tensor]:
        """Return moments, shift and matrix in blocks that the error's matrix shares."""
        shift = error.shift_vector(self.dim, self.mean0.device)
        matrix = error.full_matrix(self.dim, self.mean0.device)
        moments = SecondMoments.of(self.cov0, self.cov1, self.cross, self.sigma, matrix)
        return moments, moments.blocks.rows(shift), moments.blocks.matrix(matrix)

    def _gaps(
        self, times: Tensor, error: DriftError, *, endpoint: bool = False, corrected: bool = False
    ) -> Gaps:
        grid = self._grid(times)
        moments, shift, matrix = self._with_error(error)
        extra = None
        if endpoint:
            start, h = grid[:-1], grid.diff().reshape(-1, 1, 1, 1)
            left = (1 - start).reshape(-1, 1, 1, 1)
            extra = -(self.sigma**2) * h**2 / left * moments.identity
            extra = extra.expand(-1, *moments.cov0.shape)
            if corrected:
                extra = extra + (h / left) ** 2 * moments.posterior_covariance(start)
        return gaps(moments, grid, self._block_means(moments, grid), shift, matrix, extra)

    def _law(self, times: Tensor, found: Gaps) -> Gaussian:
        target = self.marginal(float(times[-1]))
        blocks = self._moments.blocks
        return Gaussian(
            target.mean + blocks.join_rows(found.mean),
            target.covariance + blocks.join_matrix(found.covariance),
        )
