"""``precond-gm advise``: which preconditioner suits these data, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from precond_gm.cli.inputs import Source, made
from precond_gm.cli.options import as_json, data_options, emit, save_figure

if TYPE_CHECKING:
    from precond_gm.diagnostics.candidates import Candidate

__all__ = ["advise"]


@click.command()
@data_options
@click.option("--candidates", default=None, metavar="A,B", help="What is tried; chains as a+b.")
@click.option("--max-steps", type=int, default=300, show_default=True, help="Of trained maps.")
@click.option(
    "--max-seconds",
    type=float,
    default=60.0,
    show_default=True,
    help="That each of these may train.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of every fit.")
@click.option("--image", type=click.Path(path_type=Path), default=None, help="Figure to write.")
@as_json
def advise(
    *,
    data: Source,
    candidates: str | None,
    max_steps: int,
    max_seconds: float,
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
    from precond_gm import preconditioners
    from precond_gm.diagnostics import advise as judge
    from precond_gm.registry import spec_of

    names = None if candidates is None else candidates.split(",")
    for name in names or ():
        made(preconditioners.REGISTRY, spec_of(name))
    prepared = data.read()
    report = judge(
        prepared.train,
        prepared.validation,
        candidates=names,
        num_labels=prepared.num_labels,
        max_steps=max_steps,
        max_seconds=max_seconds,
        seed=seed,
        progress=lambda name: click.echo(f"fitting {name}", err=True),
    )
    if image is not None:
        save_figure(report.plot(), image)
    if as_json:
        emit(report)
        return
    rows = [_row(one, report.is_conditioning_judged) for one in report.candidates]
    width = max(len(row[0]) for row in rows)
    head = ("", "condition", "nats behind", "fit (s)", "inverse/sampling", "round trip", "inverse")
    for name, *cells in [head, *rows]:
        click.echo(f"{name:{width}}  " + _aligned(cells))
    click.echo(f"\nUse {report.recommended}: {report.reason}.")
    for note in report.notes:
        click.echo(f"  {note}", err=True)


def _row(one: Candidate, is_judged: bool) -> tuple[str, ...]:
    """Return the cells of a candidate; a condition number that is a bound says so."""
    from precond_gm.report.verdict import number

    if one.failure is not None:
        return one.name, one.failure.splitlines()[0]
    return (
        one.name,
        number(one.condition_number) if is_judged else f"> {number(one.condition_number)}",
        f"{number(one.behind)} +- {number(one.behind_error)}",
        f"{one.fit_seconds:.2f}",
        f"{one.inverse_share:.1%}",
        f"{one.round_trip_error:.1e}",
        one.inverse,
    )


def _aligned(cells: list[str]) -> str:
    if len(cells) == 1:
        return cells[0]  # why it failed
    widths = (9, 20, 8, 16, 10)
    columns = [f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False)]
    return "  ".join([*columns, cells[-1]])
