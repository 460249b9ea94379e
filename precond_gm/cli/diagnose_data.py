"""The part of ``precond-gm diagnose`` that looks at data before any training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from precond_gm.cli.inputs import made, variant_parts
from precond_gm.errors import PrecondError

if TYPE_CHECKING:
    from precond_gm.cli.diagnose_output import Output
    from precond_gm.data import Prepared
    from precond_gm.diagnostics import ConditioningReport, LinearDescentReport
    from precond_gm.values import AbstractReport, Batch

__all__ = ["diagnose_data"]

_WIDEST_DESCENT = 1024  # features: a hundred steps of a linear network take half a minute there


def diagnose_data(data: Prepared, variants: Sequence[str], *, times: int, output: Output) -> None:
    """Measure the conditioning of Sigma_t for every t, and what each variant makes of it."""
    from precond_gm.plotting.comparison import plot_condition
    from precond_gm.report.conditioning import conditioning_sections, conditioning_verdict
    from precond_gm.training.evaluation import curves_of

    parts = {name: _resolved(variant_parts(name)) for name in variants}
    reports = _measured(data.train, parts, times)
    descents = _descents(data.train, parts, reports) if output.has_page else {}
    by_variant: dict[str, dict[str, AbstractReport]] = {
        name: {"conditioning": report} for name, report in reports.items()
    }
    for name, descent in descents.items():
        by_variant[name]["linear_descent"] = descent
    names = data.label_names
    output.write(
        f"Diagnosis of {data.name}",
        by_variant,
        sections=lambda: conditioning_sections(reports, names, descents),
        figure=lambda: plot_condition({k: curves_of(r) for k, r in reports.items()}, names),
        text=lambda: "\n".join([*conditioning_verdict(reports, names), "", *_table(reports)]),
        numbers=reports,
    )
    for name, report in reports.items():
        for note in (*report.notes, *_unreadable(report, names)):
            click.echo(f"{name}: {note}", err=True)


def _measured(
    train: Batch, parts: dict[str, dict[str, Any]], times: int
) -> dict[str, ConditioningReport]:
    """Measure every variant; one that cannot be is said, and costs the others nothing."""
    from precond_gm.diagnostics import conditioning

    reports: dict[str, ConditioningReport] = {}
    for name, each in parts.items():
        try:
            reports[name] = conditioning(train.x, train.label, times=times, **each)
        except PrecondError as error:
            if len(parts) == 1 or (not reports and name == [*parts][-1]):
                raise
            click.echo(f"{name} is left out: {error}", err=True)
    return reports


def _descents(
    train: Batch, parts: dict[str, dict[str, Any]], reports: dict[str, ConditioningReport]
) -> dict[str, LinearDescentReport]:
    """Train a linear network where each variant is conditioned worst; not on wide rows."""
    from precond_gm.diagnostics import linear_descent

    if train.x[0].numel() > _WIDEST_DESCENT:
        return {}
    worst = {name: float(r.t[r.condition_number.argmax()]) for name, r in reports.items()}
    return {
        name: linear_descent(train.x, train.label, t=t, **parts[name]) for name, t in worst.items()
    }


def _resolved(parts: dict[str, Any]) -> dict[str, Any]:
    """Make each part once, so that a map is fitted once."""
    from precond_gm import couplings, paths, preconditioners

    kinds: dict[str, Any] = {
        "preconditioner": preconditioners.REGISTRY,
        "coupling": couplings.REGISTRY,
        "path": paths.REGISTRY,
    }
    return {kind: made(kinds[kind], part) for kind, part in parts.items()}


def _table(reports: dict[str, ConditioningReport]) -> list[str]:
    """Lay out a line per variant."""
    from precond_gm.report.verdict import number

    width = max(map(len, reports))
    lines = [f"{'':{width}}  worst, all rows  worst, any label  at t = 0.5  effective rank"]
    for name, report in reports.items():
        worst = report.worst_label
        labelled = "-" if worst is None else number(report.per_label[worst].worst)
        middle = number(float(report.condition_number[len(report.t) // 2]))
        rank = number(float(report.effective_rank[-1]))
        lines.append(
            f"{name:{width}}  {number(report.worst):>15}  {labelled:>16}  {middle:>10}  {rank:>14}"
        )
    return lines


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
