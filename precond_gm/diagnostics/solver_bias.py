"""Recovery of variances by the exact Gaussian field: what the solver alone does to them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from precond_gm.flow import PreconditionedFlow
from precond_gm.numerics.recovery import directions
from precond_gm.numerics.rows import RowsLike, collect, flatten
from precond_gm.numerics.solver_bias import exact_field_recovery
from precond_gm.solvers import grids
from precond_gm.values import TargetKind

__all__ = ["exact_recovery"]

_MOST_DIM = 1024  # beyond, an eigendecomposition per label takes minutes
_ROWS_PER_DIM = 2


def exact_recovery(
    flow: PreconditionedFlow,
    x: RowsLike,
    label: Tensor | None = None,
    *,
    steps: int = 100,
    grid: Any = "uniform",
) -> tuple[Tensor, Tensor] | None:
    r"""Return what ``flow.sample(steps=steps)`` would do to variances if its field were exact.

    The rows are taken for Gaussian in z: within each label that has rows enough, else together.
    For such a law the exact field is linear and the solver's law follows by recursion; the rows are
    stretched in z as the solver would stretch them, and mapped back. On the bridge the
    Euler-Maruyama scheme inflates small variances by itself, and a recovery above 1 says something
    about training only beyond this figure.

    Args:
        flow: The flow; only its map, path and prediction are used.
        x: Data rows.
        label: Labels of the rows.
        steps: Number of solver steps.
        grid: Time grid by name, or the times themselves.

    Returns:
        Variance of the data along its eigen-directions, ascending, and generated over data
        variance there; or None where no closed form is known: another coupling than the
        independent one, or more than 1,024 features.
    """
    rows = collect(x, label)
    if not flow.coupling.is_independent or rows.x[0].numel() > _MOST_DIM:
        return None
    times = grids.make(grid, steps, flow.t_max).to("cpu", torch.float64)
    z = flow.precondition(rows.x, rows.label)
    stretched = flatten(z).double().clone()
    for index in _groups(rows.label, stretched.shape[1], len(stretched)):
        stretched[index] = _stretched(flow, stretched[index], times)
    with torch.no_grad():
        made = flow.preconditioner.inverse(stretched.reshape(z.shape).to(z), rows.label).value
    data, made = flatten(rows.x).double(), flatten(made).double()
    basis = directions(data)
    before, after = ((part - part.mean(0)) @ basis.T for part in (data, made))
    variance = before.square().mean(0)
    return variance.cpu(), (after.square().mean(0) / variance).cpu()


def _groups(label: Tensor | None, dim: int, rows: int) -> list[Tensor]:
    """Return the rows of each label; all together where one label has too few of them."""
    if label is not None:
        groups = [torch.nonzero(label == name).flatten() for name in torch.unique(label)]
        if min(len(group) for group in groups) >= _ROWS_PER_DIM * dim:
            return groups
    return [torch.arange(rows)]


def _stretched(flow: PreconditionedFlow, z: Tensor, times: Tensor) -> Tensor:
    """Scale rows along the eigenvectors of their covariance, as the solver would."""
    mean = z.mean(0)
    values, vectors = torch.linalg.eigh((z - mean).T @ (z - mean) / z.shape[0])
    values = values.clamp_min(1e-12 * float(values[-1])).cpu()
    path = flow.path
    order = 2 if path.kind is TargetKind.VELOCITY else 1  # Heun, Euler-Maruyama
    ratio = exact_field_recovery(values, path.coefficients, path.kind, times, order=order)
    last = path.coefficients(times[-1:])  # a path that stops early has a variance of its own there
    ratio = ratio * (last.alpha**2 + last.beta**2 * values + last.variance) / values
    scale = ratio.sqrt().to(vectors)
    return mean + ((z - mean) @ vectors * scale) @ vectors.T
