"""``precond-gm fit``: fit a preconditioner alone, and say what it does."""

from __future__ import annotations

from pathlib import Path

import click

from precond_gm.cli.inputs import read_data
from precond_gm.cli.options import as_json, data_options, emit

__all__ = ["fit"]


@click.command()
@click.argument("preconditioner")
@data_options
@click.option("--max-steps", type=int, default=None, help="Bound on the optimiser.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the fit.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="State dict to write.")
@as_json
def fit(
    *,
    preconditioner: str,
    data: str,
    label: str,
    image_size: int | None,
    max_steps: int | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Fit PRECONDITIONER to the training rows and judge it on held-out ones.

    \b
    Example:
      precond-gm fit whiten --data digits
      precond-gm fit whiten+zuko.nsf --data mine.csv --max-steps 500 --out map.pt
    """
    import torch

    from precond_gm import preconditioners
    from precond_gm.checkpoint import write_state
    from precond_gm.registry import spec_of
    from precond_gm.report.verdict import number

    part = preconditioners.REGISTRY.resolve(spec_of(preconditioner))
    prepared = read_data(data, label, image_size)
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
    if as_json:
        emit(report)
        return
    click.echo(f"{report.name}, fitted on {report.num_rows} rows in {report.seconds:.1f} s")
    click.echo(
        f"held-out condition number  {number(report.condition_before)} -> "
        f"{number(report.condition_after)}"
    )
    click.echo(f"held-out log-likelihood    {number(report.log_likelihood)} nats per row")
    click.echo(f"round trip error           {number(report.round_trip_error)}")
    for note in report.notes:
        click.echo(f"  {note}")
