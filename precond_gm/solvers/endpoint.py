r"""The endpoint (plug-in bridge) step: predict z1, then draw the bridge towards it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias, final

import torch
from torch import Tensor

from precond_gm.solvers.base import AbstractSolver, euler_step
from precond_gm.values import Dynamics, TargetKind

__all__ = ["Endpoint", "PosteriorVariance"]

PosteriorVariance: TypeAlias = "Callable[[Tensor, Tensor, Tensor | None], Tensor]"


@final
@dataclass(frozen=True)
class Endpoint(AbstractSolver):
    r"""Endpoint step: the mean of Euler-Maruyama with the noise of a bridge pinned at ``E[z1]``.

    The noise has variance ``sigma^2 h (1 - t') / (1 - t)``, and none is left at t = 1: right for
    data on points, but elsewhere the posterior variance of z1 is lost (W2 error ``O(h log 1/h)``,
    twenty times that of Euler-Maruyama for unit Gaussians and 256 steps). With
    ``posterior_variance`` the step adds ``(h / (1 - t))^2 Var(z1 | z_t)`` back, which makes it
    exact for Gaussians.

    Args:
        posterior_variance: Callable ``(t, z, label)`` that gives the variance of z1 given z_t: one
            number per coordinate (of the shape of z), or a covariance ``batch dim dim`` or
            ``1 dim dim``. None for the plain step.
    """

    accepts: ClassVar[frozenset[TargetKind]] = frozenset({TargetKind.DRIFT})
    posterior_variance: PosteriorVariance | None = None

    def step(
        self,
        dynamics: Dynamics,
        t: float,
        t_next: float,
        z: Tensor,
        label: Tensor | None,
        *,
        diffusion: float,
        increment: Tensor | None,
    ) -> Tensor:
        """Advance by one endpoint step."""
        mean = euler_step(dynamics, t, t_next, z, label, diffusion=0.0, increment=None)
        if increment is None:
            return mean
        h = t_next - t
        pinned = diffusion**2 * (1 - t_next) / (1 - t)  # variance per unit of increment
        if self.posterior_variance is None:
            return torch.add(mean, increment, alpha=pinned**0.5)
        when = z.new_full((), t).expand(z.shape[0])
        lost = self.posterior_variance(when, z, label) * (h / (1 - t) ** 2)
        if lost.shape == z.shape:
            return mean + increment * (lost + pinned).sqrt()
        identity = torch.eye(lost.shape[-1], dtype=z.dtype, device=z.device)
        factor = torch.linalg.cholesky_ex(lost + pinned * identity).L
        return mean + (factor @ increment.flatten(1).unsqueeze(-1)).view_as(z)
