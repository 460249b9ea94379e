r"""Euler-Maruyama on several grids at once, beside the exact process, on one Brownian path per row.

Every run is kept without its noise: ``Y = D + sigma W`` with one ``W`` for all of them, so that
``W`` cancels exactly in differences between runs. The exact process is simulated by a scheme of
strong order 1.5 for additive noise, two evaluations per step,

.. math::
    H = X + \tfrac34 h b_t(X) + \tfrac32 \sigma I / h, \quad
    X' = X + h \left(\tfrac13 b_t(X) + \tfrac23 b_{t + 3h/4}(H)\right) + \sigma \Delta B

with ``I`` the integral of the Brownian path over the step; its two nodes also carry the integral
of the path divergence, and neither of them is at t = 1, where drifts may be singular.

References:
    Roessler (2010), SIAM J. Numer. Anal. 48, scheme SRA1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.diagnostics.step_size.mesh import Mesh
from precond_gm.diagnostics.step_size.processes import EulerRuns, ExactProcess
from precond_gm.numerics.noise import standard_normal
from precond_gm.values import Dynamics

__all__ = ["RunRows", "run_together"]

Draw = Callable[[int], tuple[Tensor, "Tensor | None"]]


@dataclass(frozen=True)
class RunRows:
    """What the runs give for each row; the exact process exists on the first ``m`` of ``n`` rows.

    Attributes:
        final: End of each run, ``grids`` tensors ``n *event``.
        truth: The exact process at the same times, ``grids`` tensors ``m *event``.
        landing: Where the last step of each run goes without its noise, of the same shapes.
        truth_landing: The same for one step from the exact process.
        label: Label of each row, or None.
        discretisation: ``int |b_t(X_t) - b_k(X_k)|^2 dt``, shape ``m grids``; ``b`` is the drift
            of the exact process.
        last_step: The part of ``discretisation`` in the last step.
        total: The same with the drift under study at t_k, shape ``m grids``.
        drift: ``sum_k h_k |b_k(X_k) - b'_k(X_k)|^2``, shape ``m grids``.
        control: The discretisation sum along the finest run, shape ``n grids``.
        num_evals: Rows at which the dynamics under study was evaluated.
    """

    final: tuple[Tensor, ...]
    truth: tuple[Tensor, ...]
    landing: tuple[Tensor, ...]
    truth_landing: tuple[Tensor, ...]
    label: Tensor | None
    discretisation: Tensor
    last_step: Tensor
    total: Tensor
    drift: Tensor
    control: Tensor
    num_evals: int


@torch.no_grad()
def run_together(
    model: Dynamics,
    process: Dynamics,
    mesh: Mesh,
    draw: Draw,
    *,
    sigma: float,
    num_samples: int,
    num_reference: int,
    chunk: int,
    generator: torch.Generator | None = None,
) -> RunRows:
    """Run every grid of the mesh, and the exact process on some of the rows.

    Args:
        model: Dynamics under study.
        process: Drift of the exact process; ``model`` itself where no other is known.
        mesh: The grids.
        draw: Gives ``n`` rows of the source, and their labels.
        sigma: Scale of the noise.
        num_samples: Rows n.
        num_reference: Rows m of the exact process.
        chunk: Rows that run at once; bounds the memory.
        generator: Source of the noise.

    Raises:
        NonFiniteError: NaN or infinity; names the time and the share of rows.
        InvalidInputError: Dynamics of another shape than the rows.
    """
    parts, done, drawn = [], 0, 0
    while done < num_samples:
        rows = min(chunk, num_samples - done)
        done += rows
        few = round(num_reference * done / num_samples) - drawn
        drawn += few
        z0, label = draw(rows)
        parts.append(
            _run_rows(model, process, mesh, z0, label, few, sigma=sigma, generator=generator)
        )
    return parts[0] if len(parts) == 1 else _joined(parts)


def _run_rows(
    model: Dynamics,
    process: Dynamics,
    mesh: Mesh,
    z0: Tensor,
    label: Tensor | None,
    few: int,
    *,
    sigma: float,
    generator: torch.Generator | None,
) -> RunRows:
    times = torch.tensor(mesh.times, dtype=z0.dtype, device=z0.device)
    runs = EulerRuns(model, mesh, z0, label, sigma)
    exact = ExactProcess(process, model, mesh, z0[:few], label if label is None else label[:few])
    path, final, truth = torch.zeros_like(z0), {}, {}
    for j in range(len(mesh.times) - 1):
        h = mesh.times[j + 1] - mesh.times[j]
        runs.evaluate(j, times[j], path)
        step = standard_normal(path, generator) * (h**0.5 * sigma)
        area = _area(step[:few], h, sigma, generator)
        exact.step(j, times[j], times[j] + 0.75 * h, path[:few], area / h)
        path = path + step
        for s in mesh.ending.get(j + 1, ()):
            final[s] = runs.shift[s] + path
            truth[s] = exact.shift + path[:few]
    runs.require_finite()
    order = range(len(mesh.at))
    return RunRows(
        final=tuple(final[s] for s in order),
        truth=tuple(truth[s] for s in order),
        landing=tuple(runs.landing[s][:few] for s in order),
        truth_landing=tuple(exact.landing[s] for s in order),
        label=label,
        discretisation=exact.discretisation.T,
        last_step=exact.last_step.T,
        total=(exact.discretisation if exact.is_model else exact.total).T,
        drift=exact.drift.T,
        control=runs.control.T,
        num_evals=runs.num_evals + exact.num_evals,
    )


def _area(step: Tensor, h: float, sigma: float, generator: torch.Generator | None) -> Tensor:
    """Return sigma times the integral of the path over a step, given its increment.

    Given ``D = B(h)`` it is N(h D / 2, h^3 / 12).
    """
    noise = standard_normal(step, generator)
    return torch.add(step * (h / 2), noise, alpha=sigma * (h**3 / 12) ** 0.5)


def _joined(parts: Sequence[RunRows]) -> RunRows:
    """Join chunks so that the rows of the exact process come first."""
    few = [part.discretisation.shape[0] for part in parts]

    def rows(of: Callable[[RunRows], Tensor]) -> Tensor:
        first = [of(part)[:m] for part, m in zip(parts, few, strict=True)]
        rest = [of(part)[m:] for part, m in zip(parts, few, strict=True)]
        return torch.cat(first + rest)

    grids = range(len(parts[0].final))
    return RunRows(
        final=tuple(rows(lambda part, s=s: part.final[s]) for s in grids),  # type: ignore[misc]
        truth=tuple(torch.cat([part.truth[s] for part in parts]) for s in grids),
        landing=tuple(torch.cat([part.landing[s] for part in parts]) for s in grids),
        truth_landing=tuple(torch.cat([part.truth_landing[s] for part in parts]) for s in grids),
        label=None if parts[0].label is None else rows(lambda part: part.label),  # type: ignore[arg-type, return-value]
        discretisation=torch.cat([part.discretisation for part in parts]),
        last_step=torch.cat([part.last_step for part in parts]),
        total=torch.cat([part.total for part in parts]),
        drift=torch.cat([part.drift for part in parts]),
        control=rows(lambda part: part.control),
        num_evals=sum(part.num_evals for part in parts),
    )
