"""``precond-gm advise``: which preconditioner suits these data, and why."""

from __future__ import annotations

from pathlib import Path

import click

from precond_gm.cli.inputs import read_data
from precond_gm.cli.options import as_json, data_options, emit

__all__ = ["advise"]


@click.command()
@data_options
@click.option("--candidates", default=None, metavar="A,B", help="What is tried; chains as a+b.")
@click.option("--max-steps", type=int, default=300, show_default=True, help="Of trained maps.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of every fit.")
@click.option("--image", type=click.Path(path_type=Path), default=None, help="Figure to write.")
@as_json
def advise(
    *,
    data: str,
    label: str,
    image_size: int | None,
    candidates: str | None,
    max_steps: int,
    seed: int,
    image: Path | None,
    as_json: bool,
) -> None:
    """Rank preconditioners by held-out conditioning, likelihood and cost, and recommend one.

    \b
    Example:
      precond-gm advise --data digits
      precond-gm advise --data mine.csv --candidates whiten,whiten+zuko.nsf --image advice.png
    """
    from precond_gm.diagnostics import advise as judge
    from precond_gm.report.verdict import number

    prepared = read_data(data, label, image_size)
    report = judge(
        prepared.train,
        prepared.validation,
        candidates=None if candidates is None else candidates.split(","),
        num_labels=prepared.num_labels,
        max_steps=max_steps,
        seed=seed,
        progress=lambda name: click.echo(f"fitting {name}", err=True),
    )
    if image is not None:
        report.plot().savefig(image, dpi=130)
        click.echo(f"figure: {image}", err=True)
    if as_json:
        emit(report)
        return
    width = max(len(one.name) for one in report.candidates)
    click.echo(
        f"{'':{width}}  condition  log-likelihood   fit (s)  inverse/sampling  round trip  inverse"
    )
    for one in report.candidates:
        if one.failure is not None:
            click.echo(f"{one.name:{width}}  {one.failure.splitlines()[0]}")
            continue
        click.echo(
            f"{one.name:{width}}  {number(one.condition_number):>9}  "
            f"{number(one.log_likelihood):>14}  {one.fit_seconds:8.2f}  "
            f"{one.inverse_share:>16.1%}  {one.round_trip_error:10.1e}  {one.inverse}"
        )
    click.echo(f"\nUse {report.recommended}: {report.reason}.")
    for note in report.notes:
        click.echo(f"  {note}", err=True)
