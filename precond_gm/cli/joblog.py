"""What a job as a whole leaves in MLflow: the table's means, the figures, the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from precond_gm.tracking import MlflowTracker
    from precond_gm.training.results import Comparison

__all__ = ["log_comparison"]


def log_comparison(
    tracker: MlflowTracker,
    comparison: Comparison,
    folder: Path,
    figures: Mapping[str, Figure],
    page: Path,
) -> None:
    """Log the means of the table, the figures, the page, and what the page is made of.

    Args:
        tracker: Of the job's own run.
        comparison: What was found.
        folder: Of the job.
        figures: By name.
        page: The report.
    """
    from precond_gm.report.render import table_for

    table = table_for(comparison)
    for row in table.rows:
        for name, cell in zip(table.variants, row.cells, strict=True):
            if cell.value is not None:
                tracker.log_metrics({f"{name}/{row.measure.key}": cell.value.mean})
    for name, figure in figures.items():
        tracker.log_figure(figure, f"figures/{name}.png")
    for path in (page, folder / "comparison.json", folder / "real.npz"):
        tracker.log_file(path)
