r"""The grid with the least path KL: step density in proportion to :math:`\sqrt{G(t)}`.

To leading order the path KL of Euler-Maruyama is ``(1/4) sum_k h_k^2 G(t_k)``, with
``G(t) = E ||grad b_t(z_t)||_F^2``; Cauchy-Schwarz gives the density and ``(int sqrt G)^2 / (4 N)``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.solvers.grids.checks import check_steps, check_t_max
from precond_gm.solvers.roughness import estimate_roughness
from precond_gm.values import Dynamics

__all__ = ["path_kl_optimal"]

_MESH = 4096


def path_kl_optimal(
    steps: int,
    t_max: float = 1.0,
    *,
    roughness: Callable[[Tensor], Tensor] | None = None,
    dynamics: Dynamics | None = None,
    z0: Tensor | None = None,
    label: Tensor | None = None,
    diffusion: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return steps of equal ``int sqrt(G) dt``.

    Args:
        steps: Number of steps.
        t_max: Largest time, in (0, 1].
        roughness: G as a function of times: ``bridge.roughness``, or an estimate kept from before.
        dynamics: Without ``roughness``: drift whose G is estimated along sampled paths. It needs
            no training, a few dozen evaluations and their gradients in z.
        z0: Rows at t = 0 from which those paths start.
        label: Label of each of these rows, or None.
        diffusion: Scale of their noise.
        generator: Source of their noise and of the probes.

    Raises:
        InvalidInputError: Neither ``roughness`` nor ``dynamics`` with ``z0``; a G that is negative
            or not finite.

    Example:
        >>> from precond_gm.closed_form import GaussianBridge
        >>> flat = GaussianBridge(0.0, 1.0, 0.0, 1.0)  # G is constant, so the grid is uniform
        >>> path_kl_optimal(4, roughness=flat.roughness).round(decimals=6).tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    check_steps(steps)
    end = check_t_max(t_max)
    if roughness is None:
        if dynamics is None or z0 is None:
            raise InvalidInputError(
                "the grid 'path-kl-optimal' needs roughness= (bridge.roughness, say), or "
                "dynamics= and z0= to estimate it from."
            )
        roughness = estimate_roughness(
            dynamics, z0, t_max=end, label=label, diffusion=diffusion, generator=generator
        )
    mesh = _mesh(end)
    density = roughness(mesh).to(mesh).sqrt()
    if not bool(torch.isfinite(density).all()):
        where = float(mesh[~torch.isfinite(density)][0])
        raise InvalidInputError(
            f"the roughness at t = {where:.6g} is negative or not finite. Where the drift is "
            f"singular at 1, stop at t_max < 1."
        )
    pieces = 0.5 * (density[1:] + density[:-1]) * mesh.diff()
    return _quantiles(mesh, pieces, steps)


def _mesh(end: float) -> Tensor:
    """Return times that resolve both the whole interval and a peak at its end."""
    u = torch.linspace(0, 1, _MESH + 1, dtype=torch.float64)
    both = torch.cat([u, 1 - (1 - u) ** 4]).sort().values
    return end * both[torch.cat([both.new_ones(1), both.diff()]) > 0]


def _quantiles(mesh: Tensor, pieces: Tensor, steps: int) -> Tensor:
    """Return times that split the sum of ``pieces`` into equal parts."""
    total = torch.cat([pieces.new_zeros(1), pieces.cumsum(0)])
    if not float(total[-1]) > 0:
        return torch.linspace(0, float(mesh[-1]), steps + 1, dtype=torch.float64)
    level = torch.linspace(0, 1, steps + 1, dtype=torch.float64) * total[-1]
    index = torch.searchsorted(total, level[1:-1]).clamp(1, mesh.shape[0] - 1)
    before, after = total[index - 1], total[index]
    part = (level[1:-1] - before) / (after - before)
    inner = mesh[index - 1] + part * (mesh[index] - mesh[index - 1])
    return torch.cat([mesh[:1], inner, mesh[-1:]])
