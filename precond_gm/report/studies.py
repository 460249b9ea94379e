"""Studies of the sampling steps as sections of a page: the recommendation first."""

from __future__ import annotations

from collections.abc import Sequence

from precond_gm.diagnostics import (
    AssumptionsReport,
    EarlyStoppingReport,
    StepSizeComparison,
    StepSizeReport,
)
from precond_gm.report.picture import embed
from precond_gm.report.section import Listing, Section

__all__ = ["assumptions_section", "early_stopping_section", "step_size_section", "studies_in"]

_SHOWN = ("path_kl", "marginal_kl", "w2", "strong_error", "energy", "drift")
_WORDS = {
    "path_kl": "path KL",
    "marginal_kl": "marginal KL",
    "w2": "W2",
    "strong_error": "strong error",
    "energy": "energy distance",
    "drift": "drift part",
    "discretisation": "step-size part",
}


def studies_in(found: StepSizeReport | StepSizeComparison) -> dict[str, StepSizeReport]:
    """Return one study per name, whether there is one or several."""
    return found.studies if isinstance(found, StepSizeComparison) else {found.grid: found}


def step_size_section(
    found: StepSizeReport | StepSizeComparison, advice: Sequence[str] = ()
) -> Section:
    """Say how many steps to take, and show every error against the step.

    Args:
        found: One study, or several on the same noise.
        advice: What is recommended; without it the best study at equal steps leads.
    """
    studies = studies_in(found)
    first = next(iter(studies.values()))
    figures = []
    if isinstance(found, StepSizeComparison) and first.path_kl is not None:
        figures.append(("Path KL of each grid at equal numbers of steps.", embed(found.plot())))
    figures += [
        (
            f"Errors against the mean step h, grid {name}. Dashed lines are upper bounds of the "
            f"order that theory gives with the exact drift (path KL and W2: h; marginal KL of "
            f"smooth targets: h squared), with the least constant that holds.",
            embed(study.plot()),
        )
        for name, study in studies.items()
    ]
    return Section(
        f"How many sampling steps: {first.name}",
        (*advice, *_compared(found)),
        tuple(_listing(name, study) for name, study in studies.items()),
        tuple(figures),
    )


def early_stopping_section(found: EarlyStoppingReport) -> Section:
    """Say where to stop, and what that gains and costs."""
    head = ["delta", "W2 to the target"] + (["path KL"] if found.path_kl is not None else [])
    rows = []
    for i, delta in enumerate(found.delta.tolist()):
        cells = [f"{delta:g}", _cell(found.w2[i], found.standard_errors["w2"][i])]
        if found.path_kl is not None:
            cells.append(_cell(found.path_kl[i], found.standard_errors["path_kl"][i]))
        rows.append(tuple(cells))
    floor = () if found.floor is None else (f"noise floor of W2: {found.floor:.4g}",)
    return Section(
        f"Where to stop: {found.name}",
        (f"W2 to the target is least with delta = {found.best:g}, at {found.steps} steps.",),
        (Listing(f"stopped at 1 - delta, grid {found.grid}", tuple(head), tuple(rows), floor),),
        (("Error and its parts against delta.", embed(found.plot())),),
    )


def assumptions_section(found: AssumptionsReport) -> Section:
    """Say which hypotheses of the bounds hold on the data."""
    rows = tuple((c.name, c.verdict, c.statement) for c in found.checks)
    notes = tuple(f"{c.name}: {c.evidence} {c.meaning}" for c in found.checks)
    failing = [c.name for c in found.checks if c.verdict in ("fails", "doubtful")]
    lead = f"Not to be relied on: {', '.join(failing)}." if failing else "Nothing speaks against."
    return Section(
        "What the bounds assume",
        (lead,),
        (Listing("hypotheses", ("name", "verdict", "statement"), rows, notes),),
        (("Tail of the data, and the score near them.", embed(found.plot())),),
    )


def _compared(found: StepSizeReport | StepSizeComparison) -> list[str]:
    """Say what each study gains on the first at the most steps, with the interval."""
    if not isinstance(found, StepSizeComparison):
        return []
    baseline, *others = found.studies
    lines = []
    for name in others:
        ratios = found.ratio(name)
        if ratios:
            n = max(ratios)
            r = ratios[n]
            lines.append(
                f"At {n} steps {name} divides the path KL of {baseline} by {r.value:.3g} "
                f"[{r.low:.3g}, {r.high:.3g}]."
            )
    return lines


def _listing(name: str, report: StepSizeReport) -> Listing:
    """Lay out errors with twice their standard errors, and exact values where there are any."""
    names = [k for k in _SHOWN if k in report.quantities and bool(report.quantities[k].any())]
    head = ["steps"]
    for k in names:
        head += [_WORDS[k], "exact"] if k in report.exact else [_WORDS[k]]
    rows = []
    for i, n in enumerate(report.steps):
        cells = [str(n)]
        for k in names:
            cells.append(_cell(report.quantities[k][i], report.standard_errors[k][i]))
            if k in report.exact:
                cells.append(f"{float(report.exact[k][i]):.4g}")
        rows.append(tuple(cells))
    slopes = [f"{_WORDS[k]} {slope}" for k, slope in report.slopes.items() if k in names]
    notes = [f"slopes in h (95 %): {'; '.join(slopes)}"]
    if report.floors:
        floors = [f"{_WORDS[k]} {value:.4g}" for k, value in report.floors.items()]
        notes.append(f"noise floor of held-out data: {', '.join(floors)}")
    notes += [f"{_WORDS[k]}: {text}" for k, text in report.meaning.items()]
    notes += [f"note: {note}" for note in report.notes]
    return Listing(f"grid {name}", tuple(head), tuple(rows), tuple(notes))


def _cell(value: object, error: object) -> str:
    return f"{float(value):.4g} +- {2 * float(error):.2g}"  # type: ignore[arg-type]
