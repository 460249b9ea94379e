"""Send to a store what a job could not send while it ran."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from precond_gm.errors import DataError
from precond_gm.tracking import MlflowTracker
from precond_gm.tracking.buffer import read_spool
from precond_gm.training.job import RECIPE, TRACKING
from precond_gm.training.reading import find_recipe
from precond_gm.training.results import RESULT, SAMPLES

__all__ = ["SPOOL", "resend"]

SPOOL = "metrics.jsonl"


def resend(folder: Path, tracking_uri: str | None) -> int:
    """Log metrics, results and samples that wait in a job's folder; return how many metrics.

    Runs go on where the store knows them, and are made anew where it does not. What was sent is
    renamed, so that it is not sent twice.

    Raises:
        DataError: Not a job's folder.
        TrackingError: The store does not answer.
    """
    if not (folder / RECIPE).exists():
        raise DataError(f"{folder} is not the folder of a job: it holds no {RECIPE}.")
    name = str(find_recipe(folder / RECIPE)["name"])
    known: dict[str, str] = {}
    if (folder / TRACKING).exists():
        known = json.loads((folder / TRACKING).read_text(encoding="utf-8"))
    count = 0
    with MlflowTracker(
        name, tracking_uri=tracking_uri, run_name=folder.name, run_id=known.get("parent")
    ) as parent:
        count += _send(parent, folder)
        for run in _waiting(folder):
            key = str(run.relative_to(folder))
            with parent.child(key, run_id=known.get(key)) as child:
                count += _send(child, run)
                for artifact in (RESULT, SAMPLES):
                    if (run / artifact).exists():
                        child.log_file(run / artifact)
    return count


def _waiting(folder: Path) -> Iterator[Path]:
    yield from (path.parent for path in sorted(folder.glob(f"*/*/{SPOOL}")))


def _send(tracker: MlflowTracker, folder: Path) -> int:
    spool = folder / SPOOL
    if not spool.exists():
        return 0
    rows = read_spool(spool)
    tracker.send_rows(rows)
    spool.rename(spool.with_suffix(".sent.jsonl"))
    return len(rows)
