"""One budget for all variants: the same steps, or steps and parameters that make up for the map."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from precond_gm.checkpoint import load
from precond_gm.training.recipe import Recipe
from precond_gm.training.results import write_text
from precond_gm.training.run import START, Run

__all__ = ["steps_of"]

_TIMED, _WARM = 20, 3


def steps_of(
    recipe: Recipe, runs: Sequence[Run], fits: Sequence[dict[str, Any]], kept: Path
) -> list[int]:
    """Return the number of steps of every run of a seed.

    With ``match=time`` the run with the slowest map takes ``max_steps``, and the others as many
    more as fit into the time that they saved, by the step time measured here. The answer is
    written down: a resumed job must not measure again.

    Args:
        recipe: Settings.
        runs: The runs of one seed, fitted.
        fits: What fitting said, in the same order.
        kept: File that the answer is kept in.
    """
    if recipe.match != "time":
        return [recipe.max_steps for _ in runs]
    if not kept.exists() and runs[0].engine.is_main_process:
        slowest = max(fit["seconds"] for fit in fits)
        steps = [
            recipe.max_steps + math.floor((slowest - fit["seconds"]) / _step_seconds(run))
            for run, fit in zip(runs, fits, strict=True)
        ]
        write_text(kept, json.dumps(steps))
    runs[0].engine.wait_for_everyone()
    return json.loads(kept.read_text(encoding="utf-8"))


def _step_seconds(run: Run) -> float:
    """Measure a training step on a copy of the run's flow."""
    flow = copy.deepcopy(load(run.folder / START)).to(run.engine.device)
    optimiser = torch.optim.AdamW(flow.field.parameters(), lr=0.0)
    rows = min(run.recipe.batch_size, run.data.train.x.shape[0])
    x, label = run.data.train.x[:rows], run.data.train.label
    label = None if label is None else label[:rows].to(run.engine.device)
    z = flow.precondition(x.to(run.engine.device), label)
    start = 0.0
    for step in range(_WARM + _TIMED):
        if step == _WARM:
            start = time.perf_counter()
        flow.loss(z, label, preconditioned=True).total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
    return (time.perf_counter() - start) / _TIMED
