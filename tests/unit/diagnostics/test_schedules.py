"""Grids at equal numbers of steps, on the same noise."""

from __future__ import annotations

import pytest
import torch

from precond_gm.closed_form import GaussianBridge
from precond_gm.diagnostics.schedules import schedules
from precond_gm.errors import InvalidInputError
from precond_gm.solvers import grids

NARROW = GaussianBridge(0.0, 1.0, 0.0, 0.05)


def test_against_closed_forms() -> None:
    """Each grid's path KL, and ratios to uniform, against exact values; 4.5 standard errors."""
    found = schedules(NARROW, steps=(8, 32), num_samples=512)
    assert list(found.studies) == ["uniform", "geometric", "path-kl-optimal"]
    for study in found.studies.values():
        gap = study.quantities["path_kl"] - study.exact["path_kl"]
        assert bool((gap.abs() < 4.5 * study.standard_errors["path_kl"]).all())
    uniform = found.studies["uniform"].exact["path_kl"]
    best = found.studies["path-kl-optimal"].exact["path_kl"]
    for i, ratio in enumerate(found.ratio("path-kl-optimal").values()):
        exact = float(uniform[i] / best[i])
        half = (ratio.high - ratio.low) / 4
        assert abs(ratio.value - exact) < 4.5 * half


def test_estimated_schedule_needs_no_formula() -> None:
    """Adapted to a bare callable it beats uniform as the exact one does, within 5 %.

    Oracle: the exact path KL of the estimated grid, whose leading order is flat at its optimum.
    """
    found = schedules(
        lambda t, z, label=None: NARROW(t, z),
        grids=("uniform", "path-kl-optimal"),
        steps=(16,),
        source=torch.randn(512, 1, generator=torch.Generator().manual_seed(0)).double(),
        num_samples=256,
        t_max=1.0,
    )
    (times,) = found.studies["path-kl-optimal"].times
    exact = grids.make("path-kl-optimal", 16, roughness=NARROW.roughness)
    assert float(NARROW.path_kl(times) / NARROW.path_kl(exact)) == pytest.approx(1, abs=0.05)


def test_options_and_the_best_grid() -> None:
    """A grid takes options; the recommendation names the grid with the fewest steps."""
    found = schedules(
        NARROW, grids=("uniform", ("geometric", {"delta": 0.01})), steps=(16, 32), num_samples=256
    )
    name, advice = found.recommend(path_kl=0.2)
    assert name == "geometric (delta=0.01)"
    assert advice.steps <= 32
    with pytest.raises(InvalidInputError, match="no study reaches"):
        found.recommend(w2=1e-12)
    with pytest.raises(InvalidInputError, match="two studies"):
        schedules(NARROW, grids=("uniform",), steps=(4,), num_samples=64)
