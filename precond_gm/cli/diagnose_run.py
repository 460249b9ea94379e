"""The pages of ``precond-gm diagnose``: of data before training, of a run after it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from precond_gm.cli.inputs import data_of_run, find_flow
from precond_gm.cli.options import emit

if TYPE_CHECKING:
    from typing import TypeAlias

    from precond_gm.report import Section
    from precond_gm.values import AbstractReport

    Reported: TypeAlias = "AbstractReport | Mapping[str, AbstractReport]"

__all__ = ["deliver", "diagnose_run"]

_MOST_ROWS = 20_000


def diagnose_run(
    run: str,
    data: str | None,
    *,
    times: int,
    out: Path | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Judge a trained flow on the data it was trained for: what it left, and what samples show."""
    import torch

    from precond_gm.diagnostics import quality
    from precond_gm.report.trained import trained_sections
    from precond_gm.training.directions import exact_directions, underfitted
    from precond_gm.training.evaluation import conditioning_of, directions_of

    flow, _ = find_flow(run, tracking_uri)
    prepared, recipe = data_of_run(run, data, tracking_uri)
    steps = max(recipe.sample_steps)
    train, test = prepared.train, prepared.test
    label = None if train.label is None else train.label[:_MOST_ROWS]
    spectra = conditioning_of(flow, prepared, times=times)
    proved = underfitted(flow, prepared)
    drawn = flow.sample(recipe.num_samples, steps=steps, generator=torch.Generator().manual_seed(0))
    found = quality(
        drawn,
        test.x,
        data_label=test.label,
        reference=train.x[:_MOST_ROWS],
        reference_label=label,
    )
    recovery = directions_of(found) | exact_directions(flow, prepared, steps)
    sections = trained_sections(
        spectra, proved, found, recovery, steps=steps, label_names=prepared.label_names
    )
    reports: dict[str, Any] = {"conditioning": spectra, "underfit": proved, "quality": found}
    kept = {name: report for name, report in reports.items() if report is not None}
    deliver(f"Diagnosis of {run}", sections, kept, out=out, tracking_uri=tracking_uri)
    if as_json:
        emit({**kept, "recovery": recovery})
    else:
        click.echo(sections[0].text())


def deliver(
    title: str,
    sections: Sequence[Section],
    reports: Mapping[str, Reported],
    *,
    out: Path | None,
    tracking_uri: str | None,
) -> None:
    """Write page and numbers to a file or folder, and log them where a store is given.

    Args:
        title: Of the page.
        sections: The page, the verdict first.
        reports: By name, or by variant and name; their numbers go beside the page as
            ``diagnosis.json``, and those of a variant are a nested run in the store.
        out: A file that ends in .html, a folder, or None.
        tracking_uri: MLflow store, or None.
    """
    from precond_gm.report import write_page
    from precond_gm.training.results import write_text
    from precond_gm.values.report import plain

    if out is None and tracking_uri is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) if out is None else out
        page = target if target.suffix == ".html" else target / "diagnosis.html"
        write_page(title, sections, page)
        numbers = page.with_suffix(".json")
        write_text(numbers, json.dumps(plain(dict(reports)), indent=1))
        if out is not None:
            click.echo(f"report: {page}", err=True)
        if tracking_uri is not None:
            _log(title, reports, (page, numbers), tracking_uri)


def _log(
    title: str, reports: Mapping[str, Reported], files: Sequence[Path], tracking_uri: str
) -> None:
    from precond_gm.tracking import MlflowTracker

    with MlflowTracker("diagnose", tracking_uri=tracking_uri, run_name=title) as tracker:
        for name, found in reports.items():
            if not isinstance(found, Mapping):
                tracker.log_report(found, name)
                continue
            with tracker.child(name) as variant:
                for inner, report in found.items():
                    variant.log_report(report, inner)
        for path in files:
            tracker.log_file(path)
        click.echo(f"MLflow run: {tracker.run_id}", err=True)
