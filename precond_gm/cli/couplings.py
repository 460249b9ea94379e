"""The part of ``precond-gm diagnose`` that compares couplings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from precond_gm.cli.options import emit
from precond_gm.registry import spec_of

if TYPE_CHECKING:
    from precond_gm.values import Batch

__all__ = ["diagnose_couplings"]


def diagnose_couplings(
    train: Batch, names: list[str], *, batch_size: int, image: Path | None, as_json: bool
) -> None:
    """Compare couplings on one batch of the data; those that need it are fitted on all of them."""
    import torch

    from precond_gm import couplings
    from precond_gm.diagnostics.coupling import coupling, plot_comparison
    from precond_gm.numerics.noise import standard_normal

    draw = torch.Generator().manual_seed(0)
    rows = torch.randperm(len(train.x), generator=draw)[:batch_size]
    z1, label = train.x[rows], None if train.label is None else train.label[rows]
    z0 = standard_normal(z1, draw)
    reports = []
    for name in names:
        part: Any = spec_of(name)
        resolved = couplings.REGISTRY.resolve(part)
        if resolved.needs_fit:
            resolved.fit(train.x, train.label, generator=draw)
        reports.append(coupling(z0, z1, label, resolved, name=name, generator=draw))
    if image is not None:
        plot_comparison(reports).savefig(image, dpi=130)
        click.echo(f"figure: {image}", err=True)
    if as_json:
        emit({report.name: report for report in reports})
        return
    width = max(len(report.name) for report in reports)
    click.echo(f"{'':{width}}      cost    saved  data used  noise used  skew      ms")
    for report in reports:
        click.echo(
            f"{report.name:{width}}  {report.cost_after:8.4g}  {report.saving:7.1%}  "
            f"{report.data_used:9.3f}  {report.noise_used:10.3f}  {report.worst_skew:4.1f}  "
            f"{report.milliseconds:6.1f}"
        )
    first = reports[0]
    click.echo(
        f"batch of {first.num_rows}: {first.cost_before:.4g} as drawn, optimum "
        f"{first.cost_optimum:.4g}"
    )
    for report in reports:
        click.echo(f"{report.name}: {report.conclusion}")
