"""``precond-gm fit``: fit a preconditioner alone, and say what it does."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from precond_gm.cli.inputs import Source, made
from precond_gm.cli.options import as_json, data_options, emit, save_figure

__all__ = ["fit"]


@click.command()
@data_options
@click.option(
    "--preconditioner",
    required=True,
    metavar="NAME",
    help="A name; chains as a+b, options as a:k=v.",
)
@click.option("--max-steps", type=int, default=None, help="Bound on the optimiser.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the fit.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="State dict to write.")
@click.option(
    "--image", type=click.Path(path_type=Path), default=None, help="Before/after figure to write."
)
@as_json
def fit(
    *,
    data: Source,
    preconditioner: str,
    max_steps: int | None,
    seed: int,
    out: Path | None,
    image: Path | None,
    as_json: bool,
) -> None:
    """Fit a preconditioner to the training rows, and say and draw what it does to held-out ones.

    \b
    Example:
      precond-gm fit --data digits --preconditioner whiten --image whiten.png
      precond-gm fit --data mine.csv --preconditioner whiten+zuko.nsf --max-steps 500 --out map.pt
    """
    import torch

    from precond_gm import preconditioners
    from precond_gm.checkpoint import write_state
    from precond_gm.diagnostics import effect
    from precond_gm.registry import spec_of
    from precond_gm.report.verdict import number

    part = made(preconditioners.REGISTRY, spec_of(preconditioner))
    for module in part.modules():
        if isinstance(module, preconditioners.AbstractFlow):
            module.progress = sys.stderr.isatty()
    prepared = data.read()
    report = part.fit(
        prepared.train.x,
        prepared.train.label,
        num_labels=prepared.num_labels,
        max_steps=max_steps,
        generator=torch.Generator().manual_seed(seed),
    )
    if out is not None:
        state = {"format": "precond_gm.preconditioner", "version": 1, "state": part.state_dict()}
        write_state(state, out)
        click.echo(f"map: {out}", err=True)
    found = effect(part, prepared.validation.x, prepared.validation.label)
    if image is not None:
        save_figure(found.plot(), image)
    if as_json:
        emit({**report.to_dict(), "group": found.group, **found.as_metrics()})
        return
    click.echo(f"{report.name}, fitted on {report.num_rows} rows in {report.seconds:.1f} s")
    click.echo(
        f"condition number, {found.group}: {number(found.before.worst)} -> "
        f"{number(found.after.worst)} (largest over t, {found.before.num_samples} validation rows)"
    )
    click.echo(
        f"condition number on the fit's own held-out rows: {number(report.condition_before)} -> "
        f"{number(report.condition_after)}"
    )
    click.echo(f"held-out log-likelihood: {number(report.log_likelihood)} nats per row")
    click.echo(f"round trip error: {number(report.round_trip_error)}")
    for note in report.notes:
        click.echo(f"  {note}")
