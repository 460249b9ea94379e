"""One run of a job: stopped and resumed bit for bit, ended early, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from precond_gm.checkpoint import load
from precond_gm.models.units import Units
from precond_gm.training.engine import make_engine
from precond_gm.training.job import load_data
from precond_gm.training.progress import Silent
from precond_gm.training.reading import find_recipe, overrides_of, recipe_of
from precond_gm.training.run import START, Run

SMALL = (
    "max_steps=40",
    "checkpoint_every=10",
    "validate_every=10",
    "log_every=10",
    "batch_size=64",
    "model_options={width: 32, depth: 1}",
)


class Stop(Exception):
    """Stands for a kill."""


def train_with_stops(folder: Path, stops: Sequence[int], overrides: Sequence[str] = ()) -> Path:
    """Train whitened digits, stopped after the given steps and resumed each time."""
    values = {**find_recipe("digits"), **overrides_of([*SMALL, "variants=whiten", *overrides])}
    recipe = recipe_of(values)
    data, engine = load_data(recipe), make_engine(recipe)
    for stop in [*stops, None]:
        run = Run(recipe.variants[0], 0, recipe, data, folder, engine, Units(data.scaling))
        run.fit()

        class Stopping(Silent):
            def bar(self, title: str, total: int, done: int = 0, *, stop: int | None = stop) -> Any:
                from contextlib import nullcontext

                def update(step: int, loss: float) -> None:
                    if step == stop:
                        raise Stop

                return nullcontext(update)

        try:
            run.train(recipe.max_steps, None, Stopping())
        except Stop:
            continue
    return folder / "flow.pt"


@pytest.mark.parametrize("overrides", [[], ["stream=true", "accumulate=2"]])
def test_a_resumed_run_is_bit_equal(tmp_path: Path, overrides: list[str]) -> None:
    """Stopped between checkpoints, three times. Oracle: the run that was not stopped."""
    one = train_with_stops(tmp_path / "a", [], overrides)
    two = train_with_stops(tmp_path / "b", [5, 17, 39], overrides)
    states = [torch.load(path, weights_only=True) for path in (one, two)]
    for key, value in states[0]["base"].items():
        assert torch.equal(value, states[1]["base"][key]), key
    last = [torch.load(p.with_name("last.pt"), weights_only=True) for p in (one, two)]
    assert last[0]["history"]["train"] == last[1]["history"]["train"]
    assert last[0]["history"]["validation"] == last[1]["history"]["validation"]


def test_a_learned_map_is_not_run_again(tmp_path: Path) -> None:
    """Oracle: the files, with marks in them that a second mapping would not leave."""
    overrides = ["variants=zuko.realnvp", "fit_steps=20", "max_steps=10"]
    train_with_stops(tmp_path, [], overrides)
    images = sorted((tmp_path / "z").iterdir(), key=lambda path: -path.stat().st_size)
    assert len(images) == 2
    marked = torch.zeros_like(torch.load(images[0], weights_only=True))
    torch.save(marked, images[0])
    recipe = recipe_of({**find_recipe("digits"), **overrides_of([*SMALL, *overrides])})
    data, engine = load_data(recipe), make_engine(recipe)
    run = Run(recipe.variants[0], 0, recipe, data, tmp_path, engine, Units(data.scaling))
    assert torch.equal(run._in_z(load(tmp_path / START), data.train, "train").x, marked)


def test_patience_ends_a_run_and_keeps_the_best(tmp_path: Path) -> None:
    """A rate of zero never improves after the first validation: two more, then the end."""
    overrides = ["lr=0", "patience=2", "max_steps=400"]
    flow = train_with_stops(tmp_path, [], overrides)
    last = torch.load(flow.with_name("last.pt"), weights_only=True)
    assert last["step"] == 30
    assert (tmp_path / "best.pt").exists()


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    """A cut file is named; nothing is trained on top of it."""
    from precond_gm.errors import CheckpointError

    flow = train_with_stops(tmp_path, [])
    last = flow.with_name("last.pt")
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="truncated or not a checkpoint"):
        train_with_stops(tmp_path, [])


def test_the_loop_refuses_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    """A rate that is far too large is named, and the checkpoint before it stays."""
    from precond_gm.errors import NonFiniteError

    with pytest.raises(NonFiniteError, match="Lower lr"):
        train_with_stops(tmp_path, [], ["lr=1e30", "clip=0", "warmup_steps=0"])
