"""The part of ``precond-gm diagnose`` that compares couplings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from precond_gm.cli.inputs import find_flow, made
from precond_gm.registry import spec_of

if TYPE_CHECKING:
    from precond_gm.cli.diagnose_output import Output
    from precond_gm.data import Prepared
    from precond_gm.diagnostics.coupling import CouplingReport
    from precond_gm.flow import PreconditionedFlow
    from precond_gm.report.section import Section

__all__ = ["diagnose_couplings"]

FIT_ROWS = 4096  # to judge a coupling, not to train with it


def diagnose_couplings(
    data: Prepared,
    names: list[str],
    *,
    batch_size: int,
    runs: Sequence[str],
    output: Output,
) -> None:
    """Compare couplings on one batch of the data, and state the curvature of trained flows."""
    import torch

    from precond_gm import couplings
    from precond_gm.diagnostics.coupling import coupling, plot_comparison
    from precond_gm.numerics.noise import standard_normal

    train = data.train
    flows = {run: find_flow(run, None)[0] for run in runs}
    draw = torch.Generator().manual_seed(0)
    order = torch.randperm(len(train.x), generator=draw)
    rows = order[:batch_size]
    z1, label = train.x[rows], None if train.label is None else train.label[rows]
    z0 = standard_normal(z1, draw)
    reports = []
    for name in names:
        resolved = made(couplings.REGISTRY, spec_of(name))
        if resolved.needs_fit:
            some = order[: max(FIT_ROWS, batch_size)]
            click.echo(f"fit {name} to {len(some)} of {len(order)} rows", err=True)
            resolved.fit(
                train.x[some], None if train.label is None else train.label[some], generator=draw
            )
        reports.append(coupling(z0, z1, label, resolved, name=name, generator=draw))
    curvature = {run: _curvature(flow) for run, flow in flows.items()}
    section = _section(reports, curvature, flows)
    found = {report.name: report for report in reports}
    output.write(
        f"Couplings on {data.name}",
        found,
        sections=lambda: [section],
        figure=lambda: plot_comparison(reports),
        text=section.text,
        numbers={**found, **({"curvature": curvature} if curvature else {})},
    )


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


def _section(
    reports: Sequence[CouplingReport],
    curvature: dict[str, float | None],
    flows: dict[str, PreconditionedFlow],
) -> Section:
    """Say what to make of each coupling, then the numbers and the figure."""
    from precond_gm import couplings
    from precond_gm.diagnostics.coupling import plot_comparison
    from precond_gm.report.picture import embed
    from precond_gm.report.section import Listing, Section

    lead = [f"{report.name}: {report.conclusion}" for report in reports]
    for run, value in curvature.items():
        part = couplings.REGISTRY.name_of(flows[run].coupling)
        shown = "not defined: it has an SDE only" if value is None else f"{value:.3g} (0: straight)"
        lead.append(f"{run}: learned with {part}, curvature of its paths {shown}")
    rows = tuple(
        (
            report.name,
            f"{report.cost_after:.4g}",
            f"{report.saving:.1%}",
            f"{report.data_used:.3f}",
            f"{report.noise_used:.3f}",
            "-" if report.plan_entropy is None else f"{report.plan_entropy:.2f}",
            f"{report.worst_skew:.1f}",
            f"{report.milliseconds:.1f}",
            f"{report.saving_per_ms:.3g}",
        )
        for report in reports
    )
    first = reports[0]
    note = (
        f"batch of {first.num_rows}: {first.cost_before:.4g} as drawn, optimum "
        f"{first.cost_optimum:.4g}; saved/ms is squared distance, over the whole batch"
    )
    head = ("", "cost", "saved", "data used", "noise used", "entropy", "skew", "ms", "saved/ms")
    table = Listing("On one batch", head, rows, (note,))
    caption = "Cost of the pairs as drawn, paired and at the optimum, and what the pairing costs."
    figure = (caption, embed(plot_comparison(reports)))
    return Section("Couplings", tuple(lead), (table,), (figure,))
