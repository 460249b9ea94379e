r"""How rough dynamics are along their own paths: ``G(t) = E ||grad b_t(z_t)||_F^2``, estimated.

``||J||_F^2 = E |J^T v|^2`` over random signs v (Hutchinson), so one gradient in z per time is
enough; the rows of the batch average both expectations at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.numerics.noise import standard_normal
from precond_gm.solvers.grids.checks import check_steps, check_t_max
from precond_gm.solvers.integrate import integrate
from precond_gm.solvers.sde import EulerMaruyama
from precond_gm.values import Dynamics

__all__ = ["Roughness", "estimate_roughness"]


@dataclass(frozen=True, eq=False)
class Roughness:
    """Estimated G, a function of time by linear interpolation.

    Attributes:
        times: Where it was estimated, float64.
        value: G there.
        standard_error: Standard error of each value over rows.
    """

    times: Tensor
    value: Tensor
    standard_error: Tensor

    def __call__(self, t: Tensor) -> Tensor:
        """Interpolate; beyond the last time the last value is kept."""
        t = t.to(self.times)
        right = torch.searchsorted(self.times, t).clamp(1, self.times.shape[0] - 1)
        start, end = self.times[right - 1], self.times[right]
        part = ((t - start) / (end - start)).clamp(0, 1)
        return self.value[right - 1] + part * (self.value[right] - self.value[right - 1])


def estimate_roughness(
    dynamics: Dynamics,
    z0: Tensor,
    *,
    t_max: float = 1.0,
    label: Tensor | None = None,
    diffusion: float = 0.0,
    resolution: int = 64,
    generator: torch.Generator | None = None,
) -> Roughness:
    """Estimate G along paths sampled by Euler-Maruyama.

    Args:
        dynamics: Drift, or velocity with ``diffusion`` 0; differentiable in z.
        z0: Rows at t = 0, shape ``batch *event``; a few hundred are enough.
        t_max: Largest time; nothing is evaluated there, the last value before it is kept.
        label: Label of each row, or None.
        diffusion: Scale of the noise of the paths.
        resolution: Number of times, denser towards ``t_max``.
        generator: Source of the noise and of the probes.

    Example:
        >>> import torch
        >>> z0 = torch.zeros(8, 3, dtype=torch.float64)
        >>> found = estimate_roughness(lambda t, z, label=None: -2 * z, z0)
        >>> found.value[:2].tolist()  # ||-2 I||_F^2 in three dimensions
        [12.0, 12.0]
    """
    u = torch.linspace(0, 1, check_steps(resolution, least=2) + 1, dtype=torch.float64)
    times = check_t_max(t_max) * (1 - (1 - u) ** 2)
    rows: list[Tensor] = []

    def watched(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        value, norms = _value_and_norms(dynamics, t, z, label, generator)
        rows.append(norms)
        return value

    integrate(
        watched,
        EulerMaruyama(),
        times,
        z0,
        label=label,
        diffusion=diffusion,
        generator=generator,
    )
    each = torch.stack(rows).to("cpu", torch.float64)
    error = each.std(1) / each.shape[1] ** 0.5
    return Roughness(times[:-1], each.mean(1), error)


def _value_and_norms(
    dynamics: Dynamics,
    t: Tensor,
    z: Tensor,
    label: Tensor | None,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """Return the dynamics, and one Hutchinson draw of ``||grad b||_F^2`` per row."""
    z = z.detach().requires_grad_()
    probe = standard_normal(z, generator).sign()
    with torch.enable_grad():
        value = dynamics(t, z, label)
        (pulled,) = torch.autograd.grad(value, z, probe)
    return value.detach(), pulled.flatten(1).square().sum(1)
