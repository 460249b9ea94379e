r"""What held-out data say about the drift error of a flow whose exact drift is not known.

The regression target ``u`` of a pair has the exact drift as its conditional mean, so

.. math:: E|u - b_\theta|^2 = E|b - b_\theta|^2 + E|u - b|^2 \ge E|b - b_\theta|^2

and the held-out loss bounds the drift part from above. The bound is far from tight: the last term,
which no network can remove, is ``sigma^2 d log(1 / (1 - t))`` for data with a density.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from precond_gm.diagnostics.step_size.replicates import Replicates, controlled_mean
from precond_gm.flow import PreconditionedFlow
from precond_gm.numerics.noise import standard_normal
from precond_gm.values import Batch

__all__ = ["held_out_drift"]

_BATCH = 256  # rows that the coupling pairs at once, as in training


@torch.no_grad()
def held_out_drift(
    flow: PreconditionedFlow,
    held_out: Batch,
    grids: Sequence[Tensor],
    *,
    generator: torch.Generator,
) -> tuple[Replicates, int]:
    r"""Bound ``(1 / 2 sigma^2) sum_k h_k E|b_k - b'_k|^2`` on each grid from the held-out loss.

    Each row is seen at one time of the grid, drawn with probability proportional to its step.

    Returns:
        The bound, shape ``grids``, and the number of rows evaluated.
    """
    z1 = flow.precondition(held_out.x, held_out.label)
    dynamics, rows = flow.process().dynamics, z1.shape[0]
    found = []
    for grid in grids:
        h = grid.diff()
        k = torch.multinomial(h.to(generator.device), rows, replacement=True, generator=generator)
        t = grid[k.cpu()].to(z1)
        gaps = []
        for start in range(0, rows, _BATCH):
            part = slice(start, start + _BATCH)
            label = None if held_out.label is None else held_out.label[part]
            z0 = standard_normal(z1[part], generator)
            pairing = flow.coupling.pair(z0, z1[part], label, generator=generator)
            point = flow.path.sample(pairing, t[part], target=flow.path.kind, generator=generator)
            gap = point.target - dynamics(point.t, point.z_t, point.label)
            square = gap.square().flatten(1).sum(1).double()
            gaps.append(square if point.weight is None else square * point.weight)
        found.append(torch.cat(gaps) * float(h.sum()))
    bound = torch.stack(found, 1) / (2 * flow.path.diffusion**2)
    return controlled_mean(bound), rows * len(grids)
