"""Rows per second of the package's loop against the same training written by hand.

Both sides train the same network on the same preconditioned rows in memory with AdamW, clipping and
a moving average. The package's side also draws its batches by seed and step, follows a schedule,
and logs every 50 steps through the buffer that MLflow is fed from.

Run: python benchmarks/speed/training_loop.py
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from harness import line, paired, save

from precond_gm.checkpoint import load
from precond_gm.models.units import Units
from precond_gm.tracking.buffer import MetricBuffer
from precond_gm.training.engine import make_engine
from precond_gm.training.job import load_data
from precond_gm.training.loop import Loop
from precond_gm.training.reading import find_recipe, recipe_of
from precond_gm.training.run import START, Run
from precond_gm.values import Batch

STEPS = 50  # of one measurement, with one logged loss


class Pause(Exception):
    """Ends a measurement; the loop keeps its place."""


def packaged(run: Run, z: Batch) -> Callable[[], None]:
    """Return a callable that takes 50 steps of the package's loop."""
    buffer = MetricBuffer(lambda rows: None, None, lambda error: None)
    recipe = recipe_of({**run.recipe.to_plain(), "validate_every": 0, "checkpoint_every": 10**9})
    flow = load(run.folder / START)
    loop = Loop(
        flow,
        z,
        z,
        recipe,
        seed=0,
        steps=10**9,
        folder=run.folder,
        engine=run.engine,
        log=buffer.add,
    )

    def pause(step: int, loss: float) -> None:
        if step % STEPS == 0:
            raise Pause

    def take() -> None:
        try:
            loop.run(pause)
        except Pause:
            return

    return take


def by_hand(run: Run, z: Batch) -> Callable[[], None]:
    """Return a callable that takes 50 steps of a loop without the package."""
    recipe, net = run.recipe, load(run.folder / START).field.model
    average = copy.deepcopy(net).requires_grad_(False)
    ours, theirs = list(net.parameters()), list(average.parameters())
    optimiser = torch.optim.AdamW(ours, lr=recipe.lr, weight_decay=0.0, fused=True)
    rows = z.x.shape[0]

    def take() -> None:
        for _ in range(STEPS):
            index = torch.randint(rows, (recipe.batch_size,))
            z1, label = z.x[index], z.label[index] if z.label is not None else None
            z0, t = torch.randn_like(z1), torch.rand(recipe.batch_size)
            at = t[:, None, None, None]
            loss = (net(t, (1 - at) * z0 + at * z1, label) - (z1 - z0)).square().flatten(1).sum(1)
            loss.mean().backward()
            torch.nn.utils.clip_grad_norm_(ours, recipe.clip)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            with torch.no_grad():
                torch._foreach_lerp_(theirs, ours, 1 - recipe.ema_decay)

    return take


def main() -> None:
    """Compare the two and save the figures."""
    torch.set_num_threads(1)
    recipe = recipe_of(find_recipe("digits"))
    data, engine = load_data(recipe), make_engine(recipe)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(recipe.variants[1], 0, recipe, data, Path(folder), engine, Units(data.scaling))
        run.fit()
        flow = load(run.folder / START)
        z = Batch(flow.precondition(data.train.x, data.train.label), data.train.label)
        result = paired(packaged(run, z), by_hand(run, z), blocks=40)
    speed = {
        "rows_per_second": STEPS * recipe.batch_size / result["a_us"] * 1e6,
        "rows_per_second_by_hand": STEPS * recipe.batch_size / result["b_us"] * 1e6,
        "share": 1 / result["ratio"],
        "share_low": 1 / result["ratio_high"],
        "share_high": 1 / result["ratio_low"],
        "target_share": 0.95,
    }
    print(line("50 steps: package against by hand", result))
    save("training_loop", {"paired": result, **speed})


if __name__ == "__main__":
    main()
