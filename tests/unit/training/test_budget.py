"""Compute-matched baselines: steps that make up for the time a map took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from precond_gm.models.units import Units
from precond_gm.training import budget
from precond_gm.training.engine import make_engine
from precond_gm.training.job import load_data
from precond_gm.training.reading import find_recipe, overrides_of, recipe_of
from precond_gm.training.run import Run

WORDS = [
    "data=iris",
    "match=time",
    "variants=identity,whiten",
    "max_steps=50",
    "batch_size=32",
    "model=mlp",
    "model_options={width: 16, depth: 1}",
]


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    """Two runs of one seed, fitted."""
    recipe = recipe_of({**find_recipe("digits"), **overrides_of(WORDS)})
    data, engine = load_data(recipe), make_engine(recipe)
    found = [
        Run(variant, 0, recipe, data, tmp_path / variant.slug, engine, Units(data.scaling))
        for variant in recipe.variants
    ]
    for run in found:
        run.fit()
    return found


def test_saved_time_becomes_steps(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: arithmetic. Ten seconds saved, at half a second a step, are twenty steps more."""
    monkeypatch.setattr(budget, "_step_seconds", lambda run: 0.5)
    fits: list[dict[str, Any]] = [{"seconds": 2.0}, {"seconds": 12.0}]
    kept = tmp_path / "budget-0.json"
    assert budget.steps_of(runs[0].recipe, runs, fits, kept) == [70, 50]
    monkeypatch.setattr(budget, "_step_seconds", lambda run: 5.0)
    assert budget.steps_of(runs[0].recipe, runs, fits, kept) == [70, 50]  # resumed: not measured


def test_measuring_leaves_the_run_as_it_was(runs: list[Run]) -> None:
    """A step takes time; no checkpoint appears, and the start is the same, byte for byte."""
    before = {path: path.read_bytes() for path in runs[1].folder.iterdir()}
    assert 0 < budget._step_seconds(runs[1]) < 10
    assert {path: path.read_bytes() for path in runs[1].folder.iterdir()} == before
