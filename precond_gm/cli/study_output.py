"""What ``precond-gm study`` says, writes and logs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from precond_gm.diagnostics import StepSizeComparison, StepSizeReport
    from precond_gm.report import Section
    from precond_gm.values import AbstractReport

__all__ = ["advise", "log", "section_of", "write"]

_TITLE = "Study of the sampling steps"


def advise(
    subject: Any,
    found: StepSizeReport | StepSizeComparison,
    wanted: dict[str, float],
    confirm: bool,
    options: dict[str, Any],
) -> list[str]:
    """Recommend, or say why nothing can be recommended: the study itself stands either way."""
    from precond_gm.diagnostics import step_size
    from precond_gm.errors import InvalidInputError

    try:
        one = found.recommend(**wanted)
    except InvalidInputError as error:
        return [f"No recommendation: {error}"]
    advice = one[1] if isinstance(one, tuple) else one
    lines = [f"Take {advice}."]
    if confirm:  # the generator has moved on: this is new noise
        fresh = step_size(subject, grid=advice.grid, steps=(advice.steps,), **options)
        for name, value in advice.wanted.items():
            got = float(fresh.quantities[name][0])
            half = 2 * float(fresh.standard_errors[name][0])
            verdict = "kept" if got <= value else "not kept"
            lines.append(f"A fresh run has {name} = {got:.4g} +- {half:.2g}: promise {verdict}.")
    return lines


def section_of(report: AbstractReport, advice: list[str]) -> Section:
    """Return what a report has to say; the study itself leads with the advice."""
    from precond_gm.diagnostics import AssumptionsReport, EarlyStoppingReport
    from precond_gm.report import studies

    if isinstance(report, EarlyStoppingReport):
        return studies.early_stopping_section(report)
    if isinstance(report, AssumptionsReport):
        return studies.assumptions_section(report)
    return studies.step_size_section(report, advice)  # type: ignore[arg-type]


def write(out: Path, reports: dict[str, AbstractReport], sections: list[Section]) -> None:
    """Write every report with its figure and section, and one page of all."""
    from precond_gm.report import write_page, write_section

    for (name, report), section in zip(reports.items(), sections, strict=True):
        (out / name).mkdir(parents=True, exist_ok=True)
        (out / name / "report.json").write_text(json.dumps(report.to_dict(), indent=1) + "\n")
        report.plot().savefig(out / name / "figure.png", dpi=130)
        write_section(section, out / name)
    page = write_page(_TITLE, sections, out / "study.html")
    click.echo(f"Report: {page}", err=True)


def log(
    experiment: str, uri: str | None, reports: dict[str, AbstractReport], sections: list[Section]
) -> None:
    """Log reports, with their series over the number of steps, and the page."""
    from precond_gm.report import write_page
    from precond_gm.tracking import MlflowTracker

    with MlflowTracker(experiment, tracking_uri=uri, run_name="study") as tracker:
        for name, report in reports.items():
            tracker.log_report(report, name)
        with tempfile.TemporaryDirectory() as scratch:
            page = write_page(_TITLE, sections, Path(scratch) / "study.html")
            tracker.log_file(page)
