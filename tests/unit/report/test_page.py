"""The page of a job: sections appear for what the runs hold, and only then."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from precond_gm.report import render
from precond_gm.training.recipe import Recipe
from precond_gm.training.results import Comparison, RunResult

DIM = 4


def run(variant: str, seed: int, **extra: Any) -> RunResult:
    """Return a run with plausible numbers."""
    rng = np.random.default_rng(seed)
    metrics = {
        "conditioning/pooled_max": 100.0,
        "recovery/low": 1.5 + seed / 10,
        "floor/recovery_low": 1.1,
        "quality/energy": 0.1,
        "quality/w2_10": 0.2,
        "floor/w2": 0.1,
        "fit/seconds": 0.1,
    }
    fit = {
        "notes": [],
        "seconds": 0.1,
        "parameters": 3,
        "condition_before": 100.0,
        "condition_after": 1.0,
        "round_trip_error": 1e-6,
    }
    return RunResult(
        variant=variant,
        seed=seed,
        steps=10,
        metrics=metrics,
        train_loss=[[1, 2.0], [10, 1.0]],
        validation_loss=[[10, 1.1]],
        conditioning={"t": [0, 1], "pooled": [1, 100], "labels": {}, "spectrum": [0.1, 1, 2, 10]},
        recovery={
            "eigenvalue": [0.1, 1.0, 2.0, 10.0],
            "ratio": [1.5, 1.2, 1.0, 1.0],
            "lower": [1.2, 1.0, 0.9, 0.9],
            "upper": [1.9, 1.4, 1.1, 1.1],
        },
        fit=fit,
        samples=rng.normal(size=(20, DIM)).astype(np.float32),
        **extra,
    )


SEEN = {
    "steps": [500, 1000],
    "explained": [[0.1, 0.4, 0.5, 0.9], [0.2, 0.5, None, 0.9]],
    "linear_explained": [[0.5, 0.5, 0.5, 0.9], [0.5, 0.5, 0.5, 0.9]],
    "directions": [2, 1],
    "warned_at": 1000,
    "warning": "stands still",
}
MAP = {
    "t": [0.25, 0.75],
    "ratio": [[1.0, 2.0, 1.0, 0.9], [3.0, None, 1.0, 0.9]],
    "underfitted": [[False, True, False, False], [True, False, False, False]],
}


def page(**extra: Any) -> str:
    """Return the page of two variants with two seeds each."""
    results = tuple(run(name, seed, **extra) for name in ("identity", "whiten") for seed in (0, 1))
    return render(
        Comparison(
            name="test",
            recipe=dataclasses.replace(Recipe(), sample_steps=(10,)).to_plain(),
            data={
                "name": "table",
                "rows": {"train": 70, "validation": 10, "test": 20},
                "event_shape": [DIM],
                "label_names": [],
                "notes": [],
            },
            results=results,
            real=np.zeros((20, DIM), np.float32),
            machine={"seconds": 100.0},
        )
    )


HEADINGS = ("What is under-fitted, by time and direction", "What was learned, while it was learned")


def test_runs_that_were_judged_by_direction_have_their_sections() -> None:
    """Oracle: the headings, the sentence on how to read each, and the step of the warning."""
    text = page(underfit=MAP, observer=SEEN)
    assert all(heading in text for heading in HEADINGS)
    assert "Training warned of a standstill: identity at step 1000" in text


@pytest.mark.parametrize("heading", HEADINGS)
def test_runs_that_were_not_have_none(heading: str) -> None:
    """Rows of too many features are not judged by direction."""
    assert heading not in page()
