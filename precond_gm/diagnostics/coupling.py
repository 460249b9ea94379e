r"""What a coupling does to a batch: cost, use of the rows, skew of the noise within labels, time.

Shorter pairs give straighter paths, but only if the noise within each label stays N(0, I): sampling
starts from there whatever the coupling did in training.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from precond_gm import couplings
from precond_gm.couplings import HasPlan
from precond_gm.couplings.within_label import check_pair
from precond_gm.diagnostics.coupling_report import CouplingReport, plot_comparison
from precond_gm.diagnostics.pair_measures import (
    effective_share,
    least_cost,
    mean_cost,
    path_curvature,
    share_used,
    skew_of,
    tilt_of,
)
from precond_gm.numerics.rows import check_label, check_rows
from precond_gm.values import Pairing

__all__ = [
    "CouplingReport",
    "compare_couplings",
    "coupling",
    "path_curvature",
    "plot_comparison",
]


def coupling(
    z0: Tensor,
    z1: Tensor,
    label: Tensor | None,
    coupling: Any,
    *,
    name: str | None = None,
    trajectory: Tensor | None = None,
    repeats: int = 3,
    generator: torch.Generator | None = None,
) -> CouplingReport:
    """Measure what a coupling does to one batch.

    Args:
        z0: Noise, shape ``batch *event``; the optimum takes a time of order ``batch**3``.
        z1: Data in preconditioned coordinates, of the same shape.
        label: Integer labels, or None.
        coupling: A coupling, its name, or ``(name, options)``; fitted on ``z1`` if it needs it.
        name: What the report calls the coupling; as it was asked for by default.
        trajectory: States of generated samples on a uniform grid, shape ``times batch *event``, for
            the curvature of the learned paths.
        repeats: Pairings that are timed.
        generator: Source of the coupling's randomness.

    Raises:
        InvalidInputError: NaN, or shapes that do not belong together.

    Example:
        >>> import math
        >>> draw = torch.Generator().manual_seed(0)
        >>> z0, z1 = torch.randn(2, 64, 2, generator=draw).unbind()
        >>> report = coupling(z0, z1, None, "ot")
        >>> math.isclose(report.cost_after, report.cost_optimum), report.data_used
        (True, 1.0)
    """
    check_rows(z0, name="z0")
    check_rows(z1, name="z1")
    check_label(label, z1.shape[0])
    check_pair(z0, z1, label)
    part = couplings.REGISTRY.resolve(coupling)
    draw = generator if generator is not None else torch.Generator().manual_seed(0)
    if part.needs_fit:
        part.fit(z1, label, generator=draw)
    pairing, milliseconds = _timed(part, z0, z1, label, draw, repeats)
    entropy, marginal_error = _plan_measures(part, z0, z1, label)
    weight, skew = pairing.weight, skew_of(pairing)
    noise, data = tilt_of(pairing.z0, z0, weight), tilt_of(pairing.z1, z1, weight)
    return CouplingReport(
        name=name or _name(coupling),
        num_rows=z1.shape[0],
        cost_before=mean_cost(z0, z1, None),
        cost_after=mean_cost(pairing.z0, pairing.z1, weight),
        cost_optimum=least_cost(z0, z1, label),
        data_used=share_used(pairing.z1, z1),
        noise_used=share_used(pairing.z0, z0),
        label_skew=skew.by_label,
        overall_skew=skew.overall,
        keeps_marginals=part.keeps_marginals,
        noise_shift=noise.shift,
        noise_spread=noise.spread,
        data_shift=data.shift,
        data_spread=data.spread,
        effective_share=1.0 if weight is None else effective_share(weight),
        plan_entropy=entropy,
        marginal_error=marginal_error,
        milliseconds=milliseconds,
        curvature=None if trajectory is None else path_curvature(trajectory),
    )


def compare_couplings(
    z0: Tensor,
    z1: Tensor,
    label: Tensor | None,
    names: list[Any],
    *,
    generator: torch.Generator | None = None,
) -> list[CouplingReport]:
    """Measure several couplings on the same batch, in the order given."""
    return [coupling(z0, z1, label, name, generator=generator) for name in names]


def _plan_measures(
    part: couplings.AbstractCoupling, z0: Tensor, z1: Tensor, label: Tensor | None
) -> tuple[float | None, float | None]:
    """Return entropy and marginal error of the plan; of plans within labels, the mean over rows."""
    if not isinstance(part, HasPlan):
        return None, None
    if label is None or not part.label_aware:
        label = torch.zeros(len(z1), dtype=torch.long)
    total = torch.zeros(2, dtype=torch.float64)
    for name, count in zip(*torch.unique(label, return_counts=True), strict=True):
        mine = (label == name).to(z1.device)
        plan = part.plan(z0[mine], z1[mine])
        total += count * torch.tensor([plan.entropy, plan.marginal_error], dtype=torch.float64)
    entropy, error = (total / len(z1)).tolist()
    return entropy, error


def _name(coupling: Any) -> str:
    """Write a coupling as it was asked for, without its defaults."""
    if isinstance(coupling, tuple):
        name, options = coupling
        return f"{name}({', '.join(f'{key}={value}' for key, value in options.items())})"
    return coupling if isinstance(coupling, str) else repr(coupling)


def _timed(
    part: couplings.AbstractCoupling,
    z0: Tensor,
    z1: Tensor,
    label: Tensor | None,
    generator: torch.Generator,
    repeats: int,
) -> tuple[Pairing, float]:
    part.pair(z0, z1, label, generator=generator)  # imports and first allocations are not timed
    times = []
    for _ in range(max(1, repeats)):
        start = time.perf_counter()
        pairing = part.pair(z0, z1, label, generator=generator)
        if z1.is_cuda:
            torch.cuda.synchronize(z1.device)
        times.append(time.perf_counter() - start)
    return pairing, sorted(times)[len(times) // 2] * 1e3
