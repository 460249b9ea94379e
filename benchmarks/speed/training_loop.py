"""Rows per second of the package's loop against the same training written by hand.

Both sides train the same network from the same weights on the same preconditioned rows in memory,
and both do in each step what training needs: draw a batch, noise and times, the loss and its
gradient, clip it (``clip_grad_norm_``), AdamW (fused), and a moving average of the weights
(``_foreach_lerp_``). By hand that is all. The package's side also draws everything by seed and
step, so that a run can be resumed bit for bit, follows a schedule, takes any parts of ``wrap``, and
logs its loss every 50 steps through the buffer that MLflow is fed from. Validation, checkpoints and
the observer (see observer.py) are off on both sides.

Run: python benchmarks/speed/training_loop.py
"""

from __future__ import annotations

import argparse
import copy
import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from harness import line, paired, save, steady_allocator

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


@contextmanager
def demo(variant: str = "whiten") -> Iterator[tuple[Run, Batch]]:
    """Give the demo's run of a variant, its map fitted, and its training rows in z."""
    recipe = recipe_of({**find_recipe("digits"), "variants": [variant]})
    data, engine = load_data(recipe), make_engine(recipe)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(recipe.variants[0], 0, recipe, data, Path(folder), engine, Units(data.scaling))
        run.fit()
        flow = load(run.folder / START)
        yield run, Batch(flow.precondition(data.train.x, data.train.label), data.train.label)


def packaged(run: Run, z: Batch, steps: int, **settings: Any) -> Callable[[], None]:
    """Return a callable that takes some steps of the package's loop."""
    buffer = MetricBuffer(lambda rows: True, None)
    off = {"validate_every": 0, "checkpoint_every": 10**9, "observe_every": 0}
    recipe = recipe_of({**run.recipe.to_plain(), **off, **settings})
    loop = Loop(
        load(run.folder / START),
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
        if step % steps == 0:
            raise Pause

    def take() -> None:
        try:
            loop.run(pause)
        except Pause:
            return

    return take


def by_hand(run: Run, z: Batch, steps: int) -> Callable[[], None]:
    """Return a callable that takes some steps of a loop without the package."""
    recipe, net = run.recipe, load(run.folder / START).field.model
    average = copy.deepcopy(net).requires_grad_(False)
    ours, theirs = list(net.parameters()), list(average.parameters())
    optimiser = torch.optim.AdamW(ours, lr=recipe.lr, weight_decay=0.0, fused=True)
    rows = z.x.shape[0]

    def take() -> None:
        for _ in itertools.repeat(None, steps):
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--no-save", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with demo() as (run, z):
        result = paired(packaged(run, z, STEPS), by_hand(run, z, STEPS), blocks=args.blocks)
        rows = STEPS * run.recipe.batch_size
    speed = {
        "rows_per_second": rows / result["a_us"] * 1e6,
        "rows_per_second_by_hand": rows / result["b_us"] * 1e6,
        "share": 1 / result["ratio"],
        "share_low": 1 / result["ratio_high"],
        "share_high": 1 / result["ratio_low"],
        "target_share": 0.95,
    }
    print(line("50 steps: package against by hand", result))
    share = "share {share:.3f} [{share_low:.3f}, {share_high:.3f}], target {target_share}"
    print(share.format(**speed))
    if not args.no_save:
        save("training_loop", {"paired": result, **speed})


if __name__ == "__main__":
    steady_allocator()
    main()
