"""``precond-gm report``: the HTML page again, from a folder or from what MLflow holds."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from precond_gm.cli.joblog import log_comparison
from precond_gm.cli.options import as_json, emit, tracking_option

if TYPE_CHECKING:
    from precond_gm.training.results import Comparison

__all__ = ["report"]


@click.command()
@click.argument("job")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True
)
@click.option("--send", is_flag=True, help="Log what a store that died did not take.")
@tracking_option
@as_json
def report(*, job: str, out: Path, send: bool, tracking_uri: str | None, as_json: bool) -> None:
    """Write the report of JOB: a job's folder, an experiment, a job's name, or a run id.

    Studies of the folder's runs (precond-gm study --run) have a section each.

    \b
    Example:
      precond-gm report digits --out digits.html
      precond-gm report runs/digits-001 --send --tracking-uri http://localhost:5000
    """
    from precond_gm.report import draw, read_sections, write_report
    from precond_gm.training.results import Comparison

    folder = Path(job)
    comparison = Comparison.load(folder) if folder.is_dir() else _fetched(job, tracking_uri)
    figures = draw(comparison)
    write_report(comparison, out, figures, read_sections(folder) if folder.is_dir() else ())
    if send:
        from precond_gm.training.sending import resend

        runs, metrics = resend(
            folder,
            tracking_uri,
            lambda tracker: log_comparison(tracker, comparison, folder, figures, out),
        )
        click.echo(f"{runs} runs and {metrics} metrics sent.", err=True)
    if as_json:
        emit({"report": str(out), "runs": len(comparison.results)})
    else:
        click.echo(f"Report: {out} ({len(comparison.results)} runs)")


def _fetched(job: str, tracking_uri: str | None) -> Comparison:
    """Lay the artifacts out as a job's folder, and read that."""
    from precond_gm.tracking.reading import download, find_job
    from precond_gm.training.results import Comparison

    found = find_job(job, tracking_uri)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in ("comparison.json", "real.npz"):
            download(found.run_id, name, folder, found.uri)
        for number, run in enumerate(found.runs):
            for name in ("result.json", "samples.npz"):
                download(run.run_id, name, folder / "run" / str(number), found.uri)
        return Comparison.load(folder)
