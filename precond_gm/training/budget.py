"""One budget for all variants: the same steps, or steps and parameters that make up for the map."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from precond_gm.checkpoint import load
from precond_gm.training.loop import Loop
from precond_gm.training.recipe import Recipe
from precond_gm.training.results import write_text
from precond_gm.training.run import START, Run
from precond_gm.training.source import part_of
from precond_gm.values import Batch

__all__ = ["steps_of"]

_BLOCK, _BLOCKS = 8, 6  # steps that are timed; the first block is for warming up
_ROWS = 4096


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
    engine, is_known = runs[0].engine, kept.exists()
    engine.wait_for_everyone()  # all have looked before the first process writes
    if not is_known:
        slowest = max(fit["seconds"] for fit in fits)
        steps = [
            recipe.max_steps + math.floor((slowest - fit["seconds"]) / _step_seconds(run))
            for run, fit in zip(runs, fits, strict=True)
        ]
        if engine.is_main_process:
            write_text(kept, json.dumps(steps))
        engine.wait_for_everyone()
    return json.loads(kept.read_text(encoding="utf-8"))


def _step_seconds(run: Run) -> float:
    """Measure a step of the loop, as it will be, on a copy of the run: the median of blocks."""
    flow, device = load(run.folder / START).to(run.engine.device), run.engine.device
    rows = max(_ROWS, run.recipe.ot_batch)
    x, label = run.data.train.x[:rows].to(device), run.data.train.label
    label = None if label is None else label[:rows].to(device)
    z = Batch(flow.precondition(x, label), label)
    if run.recipe.pairs_ahead:
        z = part_of(z, slice(None), torch.device("cpu"))
    steps = _BLOCK * (_BLOCKS + 1)
    recipe = dataclasses.replace(
        run.recipe, validate_every=0, observe_every=0, checkpoint_every=steps
    )
    marks: list[float] = []

    def mark(step: int, loss: float) -> None:
        if step % _BLOCK == 0:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            marks.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as scratch:
        loop = Loop(
            flow, z, z, recipe, seed=run.seed, steps=steps, folder=Path(scratch), engine=run.engine
        )
        loop.run(mark)
    blocks = [end - start for start, end in itertools.pairwise(marks)]
    return statistics.median(blocks) / _BLOCK
