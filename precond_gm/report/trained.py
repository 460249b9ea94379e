"""A trained flow as sections of a page: what it left behind, and what its samples show of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from precond_gm.diagnostics import ConditioningReport, QualityReport, UnderfitReport
from precond_gm.diagnostics.quality import Metric
from precond_gm.plotting.comparison import plot_recovery
from precond_gm.report.conditioning import conditioning_sections
from precond_gm.report.picture import embed
from precond_gm.report.section import Listing, Section
from precond_gm.report.verdict import number

__all__ = ["trained_sections", "trained_verdict"]


def trained_sections(
    spectra: ConditioningReport,
    proved: UnderfitReport | None,
    found: QualityReport,
    recovery: Mapping[str, Any],
    *,
    steps: int,
    label_names: Sequence[str] = (),
) -> list[Section]:
    """Return verdict, under-fitted cells, recovery per direction, quality, and conditioning.

    Args:
        spectra: Conditioning in the coordinates that the flow was trained in.
        proved: What is under-fitted, or None where rows have too many features.
        found: Samples against test rows.
        recovery: As a run's result has it.
        steps: Solver steps of the samples.
        label_names: Name of each class.
    """
    verdict = Section(
        "Verdict", trained_verdict(spectra, proved, found, recovery), (_figures(found, steps),)
    )
    parts = [verdict]
    if proved is not None:
        caption = (
            "Left, orange where the network errs more than an affine map along this direction of "
            "z_t at this t, with dots where that is proved for all cells together; right, the "
            "share of the target that each explains."
        )
        parts.append(
            Section("What is under-fitted", (), figures=((caption, embed(proved.plot())),))
        )
    caption = (
        "Generated over real variance along each eigen-direction of the data; 1 is right. The "
        f"dotted curve is what the same {steps} solver steps make of a Gaussian with the exact "
        "field: what lies on it is the solver's doing, not the training's."
    )
    shown = embed(plot_recovery({"this run": [recovery]}))
    parts.append(Section("Variance recovered by direction", (), figures=((caption, shown),)))
    caption = "Every figure over its noise floor: real rows against other real rows."
    parts.append(Section("Quality of samples", (), figures=((caption, embed(found.plot())),)))
    for section in conditioning_sections({"trained in": spectra}, label_names):
        title = f"Conditioning in z: {section.title.lower()}"
        parts.append(Section(title, section.lead, section.listings, section.figures))
    return parts


def trained_verdict(
    spectra: ConditioningReport,
    proved: UnderfitReport | None,
    found: QualityReport,
    recovery: Mapping[str, Any],
) -> tuple[str, ...]:
    """Say what is proved to be left, by how much small variances are off, and what shows."""
    lines = [_proved(proved)]
    if proved is not None and proved.is_judged:
        metrics = proved.as_metrics()
        lines.append(
            f"In the smallest quarter of the directions the network explains "
            f"{metrics['underfit/explained_low']:.2f} of the target, an affine map "
            f"{metrics['underfit/linear_explained_low']:.2f}."
        )
    low = found.metrics.get("low_recovery_error")
    if low is not None:
        lines.append(
            f"The variance of the smallest quarter is off by a factor of {number(2**low.value)} "
            f"[{number(2**low.low)}, {number(2**low.high)}] in samples; real rows show "
            f"{number(2**low.floor)}" + _exactly(recovery) + "."
        )
    worse = [name for name, metric in found.metrics.items() if metric.differs]
    lines.append(
        f"Samples are worse than real rows in {', '.join(worse)}."
        if worse
        else "No figure tells the samples from real rows."
    )
    lines.append(f"Largest condition number that training saw: {number(spectra.worst)}.")
    return tuple(lines)


def _proved(report: UnderfitReport | None) -> str:
    if report is None:
        return "Rows have too many features to be judged direction by direction."
    if not report.is_judged:
        return f"No direction could be judged: {' '.join(report.notes)}"
    dim, count = report.underfitted.shape[1], report.num_directions
    if not count:
        return f"No direction of {dim} is proved under-fitted ({report.num_rows:,} test rows)."
    return (
        f"{count} of {dim} directions are proved under-fitted: an affine map would do better "
        f"there ({report.num_rows:,} test rows)."
    )


def _exactly(recovery: Mapping[str, Any]) -> str:
    ratio = recovery.get("exact_ratio")
    if not ratio:
        return ""
    low = ratio[: max(1, len(ratio) // 4)]
    factor = sum(max(value, 1 / value) for value in low) / len(low)
    return f", and the exact field with the same solver steps {number(factor)}"


def _figures(found: QualityReport, steps: int) -> Listing:
    rows = tuple(_row(name, metric) for name, metric in found.metrics.items())
    notes = (
        f"samples of {steps} solver steps; each figure compares {found.num_rows:,} rows with "
        f"{found.num_rows:,}, and so does its floor: test rows against other test rows",
        *found.notes,
    )
    head = ("figure", "samples", "95 % interval", "real rows", "worse than real rows")
    return Listing("The numbers", head, rows, notes)


def _row(name: str, metric: Metric) -> tuple[str, ...]:
    ends = f"{number(metric.low)} to {number(metric.high)}"
    shown = "yes" if metric.differs else "not shown"
    return (name.replace("_", " "), number(metric.value), ends, number(metric.floor), shown)
