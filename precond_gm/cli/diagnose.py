"""``precond-gm diagnose``: why training is slow, before any training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from precond_gm.cli.diagnose_couplings import diagnose_couplings
from precond_gm.cli.diagnose_objectives import diagnose_objectives, objective_options
from precond_gm.cli.diagnose_run import deliver, diagnose_run
from precond_gm.cli.inputs import read_data, variant_parts
from precond_gm.cli.options import as_json, data_options, emit, save_figure

if TYPE_CHECKING:
    from precond_gm.diagnostics import ConditioningReport
    from precond_gm.values import AbstractReport

__all__ = ["diagnose"]

_WIDEST_DESCENT = 1024  # features: a hundred steps of a linear network take half a minute there


@click.command()
@partial(data_options, required=False)
@click.option(
    "--variants", default="identity,whiten", show_default=True, metavar="A,B", help="What is tried."
)
@click.option(
    "--couplings", default=None, metavar="A,B", help="Compare couplings on one batch instead."
)
@click.option("--batch-size", type=int, default=256, show_default=True, help="Rows of a batch.")
@objective_options
@click.option(
    "--run",
    "runs",
    multiple=True,
    metavar="RUN",
    help="A trained run, judged on the data it was trained for. With --couplings: runs whose "
    "paths' curvature is stated too. With --objectives: the trained run that is measured, instead "
    "of a fresh network.",
)
@click.option(
    "--times", type=int, default=101, show_default=True, help="Number of times in [0, 1]."
)
@click.option("--image", type=click.Path(path_type=Path), default=None, help="Figure to write.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Page to write: a file that ends in .html, or a folder. The numbers go beside it.",
)
@click.option(
    "--tracking-uri", default=None, metavar="URI", help="MLflow store to log the diagnosis in."
)
@as_json
def diagnose(
    *,
    data: str | None,
    label: str,
    image_size: int | None,
    variants: str,
    couplings: str | None,
    batch_size: int,
    objectives: str | None,
    exchange: bool,
    train_steps: int,
    batches: int,
    runs: tuple[str, ...],
    times: int,
    image: Path | None,
    out: Path | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Measure the conditioning of Cov(z_t) for every t, and what each variant makes of it.

    With --run: what a trained flow left under-fitted, and what its samples show of it.

    A variant is preconditioner[/coupling[/path]]. Maps that have to be fitted are fitted on half
    of the training rows and judged on the other half.

    An objective is a preset (aligned, jit, edm, min-snr, epsilon, rectified-logit-normal,
    even-times) or prediction/loss_space/divergence/weight/time_law/clamp, where places may be left
    out. It is measured with the parts of the first variant.

    \b
    Example:
      precond-gm diagnose --data digits --out digits.html
      precond-gm diagnose --run runs/digits-001/whiten/seed-0 --out whiten.html
      precond-gm diagnose --data mine.npz --variants identity,whiten/ot,whiten/ot/brownian-bridge
      precond-gm diagnose --data digits --couplings independent,ot,pot.sinkhorn
      precond-gm diagnose --data digits --objectives velocity,x1////beta:a=2,b=1,jit --exchange
    """
    from precond_gm.diagnostics import conditioning, linear_descent
    from precond_gm.plotting.comparison import plot_condition
    from precond_gm.report.conditioning import conditioning_sections, conditioning_verdict
    from precond_gm.report.verdict import number
    from precond_gm.training.evaluation import curves_of
    from precond_gm.training.variants import split_variants

    if len(runs) == 1 and couplings is None and objectives is None:
        diagnose_run(
            runs[0], data, times=times, out=out, tracking_uri=tracking_uri, as_json=as_json
        )
        return
    if data is None:
        raise click.UsageError("give --data, or one --run to judge on its own data.")
    prepared = read_data(data, label, image_size)
    train = prepared.train
    if couplings is not None:
        diagnose_couplings(
            train,
            split_variants(couplings),
            batch_size=batch_size,
            runs=runs,
            image=image,
            as_json=as_json,
        )
        return
    if objectives is not None:
        diagnose_objectives(
            prepared,
            split_variants(objectives),
            variant=split_variants(variants)[0],
            runs=runs,
            exchange=exchange,
            train_steps=train_steps,
            batch_size=batch_size,
            batches=batches,
            image=image,
            as_json=as_json,
        )
        return
    parts = {name: _resolved(variant_parts(name)) for name in split_variants(variants)}
    reports = {
        name: conditioning(train.x, train.label, times=times, **each)
        for name, each in parts.items()
    }
    if image is not None:
        curves = {name: curves_of(report) for name, report in reports.items()}
        save_figure(plot_condition(curves, prepared.label_names), image)
    if out is not None or tracking_uri is not None:
        narrow = train.x[0].numel() <= _WIDEST_DESCENT
        descents = {
            name: linear_descent(
                train.x,
                train.label,
                t=float(report.t[report.condition_number.argmax()]),
                **parts[name],
            )
            for name, report in reports.items()
            if narrow
        }
        sections = conditioning_sections(reports, prepared.label_names, descents)
        title = f"Diagnosis of {prepared.name}"
        found: dict[str, dict[str, AbstractReport]] = {
            name: {"conditioning": report} for name, report in reports.items()
        }
        for name, descent in descents.items():
            found[name]["linear_descent"] = descent
        deliver(title, sections, found, out=out, tracking_uri=tracking_uri)
    if as_json:
        emit(reports)
        return
    click.echo("\n".join(conditioning_verdict(reports, prepared.label_names)) + "\n")
    width = max(map(len, reports))
    click.echo(f"{'':{width}}  worst, all rows  worst, any label  at t = 0.5  effective rank")
    for name, report in reports.items():
        worst = report.worst_label
        labelled = "-" if worst is None else number(report.per_label[worst].worst)
        middle = number(float(report.condition_number[len(report.t) // 2]))
        rank = number(float(report.effective_rank[-1]))
        click.echo(
            f"{name:{width}}  {number(report.worst):>15}  {labelled:>16}  {middle:>10}  {rank:>14}"
        )
        for note in (*report.notes, *_unreadable(report, prepared.label_names)):
            click.echo(f"  {note}", err=True)


def _resolved(parts: dict[str, Any]) -> dict[str, Any]:
    """Make the map once, so that it is fitted once."""
    from precond_gm.preconditioners import REGISTRY

    return {**parts, "preconditioner": REGISTRY.resolve(parts["preconditioner"])}


def _unreadable(report: ConditioningReport, names: Sequence[str]) -> list[str]:
    """Say which labels have too few rows for the figure to mean anything."""
    few = [k for k, inner in report.per_label.items() if not inner.is_reliable]
    if not few:
        return []
    rows = min(report.per_label[k].num_samples for k in few)
    return [
        f"{len(few)} of {len(report.per_label)} labels have fewer than ten rows per feature (the "
        f"fewest: {rows} rows, {report.eigenvalues.shape[1]} features), so their figures are too "
        f"large; first of them: {names[few[0]]!r}."
    ]
