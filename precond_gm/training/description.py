"""What a job says of itself: its data, its runs, its machine, and what to do when a store dies."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from precond_gm.data import Prepared
from precond_gm.training.results import RunResult
from precond_gm.values.report import plain

__all__ = ["advice_of", "described", "features_of", "line_of", "machine_of"]


def described(data: Prepared) -> str:
    """Return one line on rows, shape and labels."""
    labels = f", {data.num_labels} labels" if data.num_labels else ", no labels"
    rows = " + ".join(str(p.x.shape[0]) for p in (data.train, data.validation, data.test))
    return f"{data.name}: {rows} rows (train, validation, test) of shape {data.event_shape}{labels}"


def line_of(done: int, total: int, result: RunResult) -> str:
    """Return one line on a run that has finished."""
    metrics = result.metrics
    return (
        f"[{done}/{total}] {result.variant}, seed {result.seed}: map fitted in "
        f"{metrics['fit/seconds']:.1f} s, {result.steps} steps in "
        f"{metrics['training/seconds']:.1f} s ({metrics['training/rows_per_second']:,.0f} rows/s)"
    )


def machine_of(engine: Any, results: Sequence[RunResult]) -> dict[str, Any]:
    """Return versions, cores, device, processes, and seconds of fitting and training.

    The seconds are those of the runs, over all sessions: a resumed job took no less.
    """
    names = ("precond_gm", "torch", "mlflow", "numpy")
    device = str(engine.device)
    if engine.device.type == "cuda":
        device = torch.cuda.get_device_name(engine.device)
    return {
        "versions": {"python": platform.python_version(), **{n: version(n) for n in names}},
        "cores": os.cpu_count(),
        "device": device,
        "processes": engine.num_processes,
        "seconds": sum(r.metrics["fit/seconds"] + r.metrics["training/seconds"] for r in results),
    }


def advice_of(folder: Path, uri: str) -> str:
    """Return what a user can do whose store has gone away."""
    words = ["precond-gm", "report", str(folder), "--send", "--tracking-uri", uri]
    return f"Nothing is lost: it is kept in {folder}. Send it later with: {shlex.join(words)}"


def features_of(data: Prepared) -> dict[str, Any]:
    """Return what a table's figures need to show columns by name, in the units of the file."""
    if len(data.event_shape) != 1:
        return {}
    width = data.event_shape[0]
    return {
        "names": list(data.feature_names or (f"column {i}" for i in range(width))),
        "shift": plain(data.scaling.shift.expand(width)),
        "scale": plain(data.scaling.scale.expand(width)),
    }
