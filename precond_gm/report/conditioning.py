"""Conditioning of data as sections of a page: what holds training back, before any training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from precond_gm.diagnostics import ConditioningReport, LinearDescentReport
from precond_gm.plotting.comparison import plot_condition
from precond_gm.plotting.linear_descent import plot_linear_descent
from precond_gm.report.picture import embed
from precond_gm.report.section import Listing, Section
from precond_gm.report.verdict import number
from precond_gm.training.evaluation import curves_of

__all__ = ["conditioning_sections", "conditioning_verdict", "spread_of"]

_MILD, _BAD = 10.0, 1000.0
_MOST_LABELS = 30


def conditioning_sections(
    reports: Mapping[str, ConditioningReport],
    label_names: Sequence[str] = (),
    descents: Mapping[str, LinearDescentReport] | None = None,
) -> list[Section]:
    """Return the verdict, the condition number against t, and the spectra with their noise edge.

    Args:
        reports: By variant; the first one is the data as they are, or the flow's own coordinates.
        label_names: Name of each class.
        descents: What a linear network learns of each variant, for a section of its own.
    """
    first = next(iter(reports.values()))
    curves = {name: curves_of(report) for name, report in reports.items()}
    verdict = Section(
        "Verdict",
        conditioning_verdict(reports, label_names),
        (_listing(reports, label_names),),
    )
    against_t = Section(
        "Condition number against t",
        (),
        figures=(
            (
                "Largest over smallest eigenvalue of Cov(z_t), from noise (t = 0) to data (t = 1), "
                "a thin line per label. Gradient descent is slow along the small directions, and "
                "their errors hardly show in the loss; 1 is best.",
                embed(plot_condition(curves, label_names)),
            ),
        ),
    )
    spectra = Section(
        "Spectrum and its noise edge",
        (),
        _labels(first, label_names),
        tuple(
            (
                f"{name}: the band is the 95 % interval of the condition number. Eigenvalues in "
                "the grey part of the spectrum spread no further than sampling alone makes equal "
                "ones spread: their order and directions mean nothing.",
                embed(report.plot()),
            )
            for name, report in reports.items()
        ),
    )
    return [verdict, against_t, *_descent_section(descents or {}), spectra]


def conditioning_verdict(
    reports: Mapping[str, ConditioningReport], label_names: Sequence[str] = ()
) -> tuple[str, ...]:
    """Say how bad it is, who sets the tail, what the variants change, and what is only noise."""
    (name, first), *others = reports.items()
    dim, rows = round(float(first.multiplicity.sum())), first.num_samples
    lines = [f"{name}: {_headline(first)}"]
    worst = first.worst_label
    if worst is not None:
        inner = first.per_label[worst]
        lines.append(
            f"The worst label is {_named(worst, label_names)} with {spread_of(inner)} "
            f"({inner.num_samples:,} rows): it sets the tail, averaging over labels does not help."
        )
    for other, report in others:
        lines.append(f"{other}: condition number {_all_and_worst(report)}{_gain(first, report)}.")
    lines.append(
        f"{number(float(first.effective_rank[-1]))} of {dim:,} directions carry the variance "
        f"(effective rank at t = 1)."
    )
    if first.noise_count:
        lines.append(
            f"The smallest {first.noise_count:,} of {dim:,} eigenvalues cannot be told from "
            f"sampling noise with {rows:,} rows."
        )
    if not first.is_reliable:
        lines.append(
            f"{rows:,} rows are fewer than ten per feature: small eigenvalues are too small, so "
            f"condition numbers are too large."
        )
    return tuple(lines)


def _descent_section(descents: Mapping[str, LinearDescentReport]) -> list[Section]:
    if not descents:
        return []
    lines = [f"{name}: {_descent(report)}" for name, report in descents.items()]
    reading = (
        "What is left of an error of one along each direction of Cov(z_t) when a linear network "
        "is trained by plain gradient descent at that t. Lines: what the eigenvalue predicts, "
        "(1 - rate s)^steps. Circles: measured, on fresh mini-batches. Deep networks and Adam "
        "are faster or slower; the order of the directions is what they share."
    )
    drawings = {f"{name}: t = {r.t:.2g}": r.to_dict() for name, r in descents.items()}
    figure = (reading, embed(plot_linear_descent(drawings)))
    return [Section("What gradient descent learns first", tuple(lines), figures=(figure,))]


def _descent(report: LinearDescentReport) -> str:
    needed = number(round(report.needed)) if math.isfinite(report.needed) else "infinitely many"
    said = f"{needed} steps at the best rate learn every direction to 1 %"
    if report.has_diverged:
        return (
            f"{said} by the eigenvalues alone, but on mini-batches of {report.batch_size:,} the "
            f"descent diverges: single rows lie so far out in these coordinates that a batch does "
            f"not bear the rate. Clip gradients, or try a map that enlarges rare directions less."
        )
    return (
        f"{said}; after {report.steps[-1]:,} steps {report.unlearned:.0%} of the directions are "
        f"less than half learned. Prediction and measurement differ by at most {report.gap:.2g}."
    )


def spread_of(report: ConditioningReport) -> str:
    """Return the largest condition number over t with its interval, or that it is infinite."""
    at = int(report.condition_number.argmax())
    if not math.isfinite(report.worst):
        return "infinite (directions without variance)"
    low, high = float(report.condition_low[at]), float(report.condition_high[at])
    ends = f" [{number(low)}, {number(high)}]" if math.isfinite(low + high) else ""
    return f"{number(report.worst)}{ends} at t = {float(report.t[at]):.2g}"


def _headline(report: ConditioningReport) -> str:
    said, worst = f"condition number {_all_and_worst(report)}", _severity(report)
    if not math.isfinite(worst):
        return f"{said}: drop constant features, or use a map that leaves them alone."
    if worst < _MILD:
        return f"{said}. Well conditioned: a preconditioner has little to gain."
    if worst < _BAD:
        return f"{said}. Training is slower along the small directions."
    return (
        f"{said}. Badly conditioned: small directions are learned last, and hardly show in the "
        f"loss."
    )


def _tail(report: ConditioningReport) -> int | None:
    """Return the worst label of those with enough rows to say so."""
    known = {k: r.worst for k, r in report.per_label.items() if r.is_reliable}
    return max(known, key=lambda k: known[k]) if known else None


def _severity(report: ConditioningReport) -> float:
    """Return the condition number that sets the tail: of all rows, or within a label."""
    label = _tail(report)
    return report.worst if label is None else max(report.worst, report.per_label[label].worst)


def _all_and_worst(report: ConditioningReport) -> str:
    label = _tail(report)
    if label is None or report.per_label[label].worst <= report.worst:
        return spread_of(report)
    return f"{spread_of(report)}, {number(report.per_label[label].worst)} within the worst label"


def _gain(before: ConditioningReport, after: ConditioningReport) -> str:
    old, new = _severity(before), _severity(after)
    if not math.isfinite(old) or not math.isfinite(new):
        return ""
    word = "smaller" if old >= new else "larger"
    return f", {number(max(old / new, new / old))} times {word}"


def _listing(reports: Mapping[str, ConditioningReport], label_names: Sequence[str]) -> Listing:
    rows, notes = [], []
    for name, report in reports.items():
        worst = report.worst_label
        inner = None if worst is None else report.per_label[worst]
        rows.append(
            (
                name,
                spread_of(report),
                "-" if inner is None else f"{_named(worst, label_names)}: {spread_of(inner)}",
                "-" if report.within is None else number(report.within.worst),
                _share_between(report),
                number(float(report.effective_rank[-1])),
                f"{report.num_samples:,}",
            )
        )
        notes += [f"{name}: {note}" for note in report.notes]
    head = (
        "",
        "all rows",
        "worst label",
        "within labels",
        "between labels",
        "effective rank",
        "rows",
    )
    return Listing(
        "Largest condition number over t, with 95 % intervals",
        head,
        tuple(rows),
        tuple(dict.fromkeys(notes)),
    )


def _share_between(report: ConditioningReport) -> str:
    """Return the share of the data's variance that lies between the labels' means."""
    if report.between is None:
        return "-"
    parts = [(r.multiplicity * r.eigenvalues[-1]).sum() for r in (report.between, report)]
    return f"{float(parts[0] / parts[1]):.0%} of the variance"


def _labels(report: ConditioningReport, label_names: Sequence[str]) -> tuple[Listing, ...]:
    """List the labels, the worst first."""
    order = sorted(report.per_label, key=lambda k: -report.per_label[k].worst)
    if not order:
        return ()
    rows = tuple(
        (
            _named(label, label_names),
            f"{report.per_label[label].num_samples:,}",
            spread_of(report.per_label[label]),
            f"{report.per_label[label].noise_count:,}",
        )
        for label in order[:_MOST_LABELS]
    )
    head = ("label", "rows", "condition number", "eigenvalues that are noise")
    return (Listing("Label by label, the worst first", head, rows),)


def _named(label: int | None, names: Sequence[str]) -> str:
    return repr(names[label]) if label is not None and label < len(names) else f"label {label}"
