"""The part of ``precond-gm diagnose`` that compares couplings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from precond_gm.cli.inputs import find_flow
from precond_gm.cli.options import emit, save_figure
from precond_gm.registry import spec_of

if TYPE_CHECKING:
    from precond_gm.diagnostics.coupling import CouplingReport
    from precond_gm.flow import PreconditionedFlow
    from precond_gm.values import Batch

__all__ = ["diagnose_couplings"]

FIT_ROWS = 4096  # to judge a coupling, not to train with it


def diagnose_couplings(
    train: Batch,
    names: list[str],
    *,
    batch_size: int,
    runs: Sequence[str],
    image: Path | None,
    as_json: bool,
) -> None:
    """Compare couplings on one batch of the data, and state the curvature of trained flows."""
    import torch

    from precond_gm import couplings
    from precond_gm.diagnostics.coupling import coupling, plot_comparison
    from precond_gm.numerics.noise import standard_normal

    flows = {run: find_flow(run, None)[0] for run in runs}
    draw = torch.Generator().manual_seed(0)
    order = torch.randperm(len(train.x), generator=draw)
    rows = order[:batch_size]
    z1, label = train.x[rows], None if train.label is None else train.label[rows]
    z0 = standard_normal(z1, draw)
    reports = []
    for name in names:
        part: Any = spec_of(name)
        resolved = couplings.REGISTRY.resolve(part)
        if resolved.needs_fit:
            some = order[: max(FIT_ROWS, batch_size)]
            click.echo(f"fit {name} to {len(some)} of {len(order)} rows", err=True)
            resolved.fit(
                train.x[some], None if train.label is None else train.label[some], generator=draw
            )
        reports.append(coupling(z0, z1, label, resolved, name=name, generator=draw))
    curvature = {run: _curvature(flow) for run, flow in flows.items()}
    if image is not None:
        save_figure(plot_comparison(reports), image)
    if as_json:
        emit({**{report.name: report for report in reports}, **_keyed(curvature)})
        return
    _print(reports)
    for run, value in curvature.items():
        part = couplings.REGISTRY.name_of(flows[run].coupling)
        shown = "not defined: it has an SDE only" if value is None else f"{value:.3g} (0: straight)"
        click.echo(f"{run}: learned with {part}, curvature of its paths {shown}")


def _curvature(flow: PreconditionedFlow) -> float | None:
    """Return the curvature of 256 sampled paths of the flow's ODE; None if it has an SDE only."""
    import torch

    from precond_gm.diagnostics.coupling import path_curvature
    from precond_gm.errors import IncompatiblePartsError

    level = 0.0 if flow.path.diffusion else None
    draw = torch.Generator().manual_seed(0)
    try:
        drawn = flow.sample(256, steps=50, noise_level=level, trajectory=True, generator=draw)
    except IncompatiblePartsError:
        return None
    return None if drawn.trajectory is None else path_curvature(drawn.trajectory)


def _keyed(curvature: dict[str, float | None]) -> dict[str, Any]:
    return {"curvature": curvature} if curvature else {}


def _print(reports: Sequence[CouplingReport]) -> None:
    """Print one line for each coupling, then what to make of it."""
    width = max(len(report.name) for report in reports)
    click.echo(
        f"{'':{width}}      cost   saved  data used  noise used  entropy  skew      ms  saved/ms"
    )
    for report in reports:
        entropy = "-" if report.plan_entropy is None else f"{report.plan_entropy:.2f}"
        click.echo(
            f"{report.name:{width}}  {report.cost_after:8.4g}  {report.saving:6.1%}  "
            f"{report.data_used:9.3f}  {report.noise_used:10.3f}  {entropy:>7}  "
            f"{report.worst_skew:4.1f}  {report.milliseconds:6.1f}  {report.saving_per_ms:8.3g}"
        )
    first = reports[0]
    click.echo(
        f"batch of {first.num_rows}: {first.cost_before:.4g} as drawn, optimum "
        f"{first.cost_optimum:.4g}; saved/ms is squared distance, over the whole batch"
    )
    for report in reports:
        click.echo(f"{report.name}: {report.conclusion}")
