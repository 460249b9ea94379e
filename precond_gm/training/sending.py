"""What a job logs to a store, and sending it later when the store went away meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from precond_gm.checkpoint import load, read_state
from precond_gm.diagnostics import ObserverReport
from precond_gm.errors import DataError, TrackingError
from precond_gm.flow import PreconditionedFlow
from precond_gm.models.units import Units
from precond_gm.tracking import MlflowTracker
from precond_gm.tracking.buffer import Row, read_spool
from precond_gm.tracking.model import UNITS_FORMAT
from precond_gm.training.reading import find_recipe, recipe_of
from precond_gm.training.recipe import Recipe
from precond_gm.training.results import RESULT, SAMPLES, RunResult, write_text
from precond_gm.training.run import FLOW, UNITS
from precond_gm.training.variants import Variant

__all__ = ["RECIPE", "SPOOL", "TAGS", "TRACKING", "log_run", "resend"]

RECIPE, TRACKING, SPOOL = "recipe.yaml", "tracking.json", "metrics.jsonl"
TAGS = {"precond_gm.kind": "comparison", "precond_gm.version": version("precond_gm")}


def log_run(
    tracker: MlflowTracker, folder: Path, flow: PreconditionedFlow, units: Units, name: str
) -> None:
    """Log what a finished run leaves: result, samples, what was observed, the flow as a model.

    Args:
        tracker: Of the run.
        folder: Of the run.
        flow: The flow that was judged.
        units: The way back to rows of the file.
        name: In the model registry; empty for none.
    """
    tracker.log_file(folder / RESULT)
    tracker.log_file(folder / SAMPLES)
    observed = RunResult.load(folder).observer
    if observed:
        tracker.log_figure(ObserverReport.from_dict(observed).plot(), "figures/observer.png")
    tracker.log_model(flow, units=units, registered_name=name)


def resend(
    folder: Path, tracking_uri: str | None, finish: Callable[[MlflowTracker], None]
) -> tuple[int, int]:
    """Log what waits in a job's folder; return how many runs and how many metrics.

    Runs go on where the store knows them. Where it does not even know the job, all of its runs
    are made anew. What was sent is renamed, so that it is not sent twice.

    Args:
        folder: Of the job.
        tracking_uri: Where to; by default as in training.
        finish: Logs to the job's own run what is made of all runs: table, figures, page.

    Raises:
        DataError: Not a job's folder.
        TrackingError: The store does not take it; nothing is lost.
    """
    if not (folder / RECIPE).exists():
        raise DataError(f"{folder} is not the folder of a job: it holds no {RECIPE}.")
    recipe = recipe_of(find_recipe(folder / RECIPE))
    path = folder / TRACKING
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    runs = metrics = 0
    with MlflowTracker(
        recipe.name,
        tracking_uri=tracking_uri,
        run_name=folder.name,
        run_id=known.get("parent"),
        tags=TAGS,
    ) as parent:
        is_new = parent.run_id != known.get("parent")
        for variant in recipe.variants:
            for seed in range(recipe.seeds):
                key = f"{variant.slug}/seed-{seed}"
                if (folder / key / SPOOL).exists() or (is_new and (folder / key).exists()):
                    child = parent.child(f"{variant.name}, seed {seed}", run_id=known.get(key))
                    metrics += _send_run(child, recipe, variant, seed, folder / key, is_new)
                    runs, known[key] = runs + 1, child.run_id
        if is_new or (folder / SPOOL).exists():
            metrics += _send_rows(parent, folder, [])
            parent.log_params(recipe.to_params())
            parent.log_file(folder / RECIPE)
            finish(parent)
            _settle(parent, folder)
            runs, known["parent"] = runs + 1, parent.run_id
    write_text(path, json.dumps(known, indent=1))
    return runs, metrics


def _send_run(
    tracker: MlflowTracker,
    recipe: Recipe,
    variant: Variant,
    seed: int,
    folder: Path,
    is_new: bool,
) -> int:
    """Send one run and return the number of metrics."""
    with tracker:
        tracker.log_params({"variant": variant.name, "seed": seed, **recipe.to_params()})
        result = RunResult.load(folder) if (folder / RESULT).exists() else None
        count = _send_rows(tracker, folder, _rows_of(result) if is_new and result else [])
        if result is not None:
            units = Units.from_dict(read_state(folder / UNITS, UNITS_FORMAT))
            log_run(tracker, folder, load(folder / FLOW), units, recipe.register)
    _settle(tracker, folder)
    return count


def _rows_of(result: RunResult) -> list[Row]:
    """Return what a run measured, for a store that has none of it."""
    now = int(time.time() * 1000)
    losses: list[tuple[str, list[list[float]]]] = [
        ("loss/train", result.train_loss),
        ("loss/validation", result.validation_loss),
    ]
    return [
        *((key, value, now, int(step)) for key, rows in losses for step, value in rows),
        *((key, float(value), now, result.steps) for key, value in result.metrics.items()),
    ]


def _send_rows(tracker: MlflowTracker, folder: Path, more: list[Any]) -> int:
    spool = folder / SPOOL
    rows = [*more, *(read_spool(spool) if spool.exists() else [])]
    tracker.send_rows(rows)
    return len(rows)


def _settle(tracker: MlflowTracker, folder: Path) -> None:
    """Mark a spool as sent, unless the store went away again."""
    if tracker.is_lost:
        raise TrackingError(
            f"the tracking store {tracker.tracking_uri} went away while {folder} was sent. It is "
            f"all kept: send it again."
        )
    spool = folder / SPOOL
    if spool.exists():
        spool.rename(spool.with_suffix(".sent.jsonl"))
