"""The loop: resumed bit for bit whatever feeds it, and observed without being changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import precond_gm as pg
from precond_gm.couplings.base import AbstractCoupling
from precond_gm.errors import WorkerError
from precond_gm.training.engine import make_engine
from precond_gm.training.loop import Loop
from precond_gm.training.reading import recipe_of
from precond_gm.values import Batch, Pairing

SETTINGS: dict[str, Any] = {
    "batch_size": 16,
    "validate_every": 5,
    "checkpoint_every": 4,
    "log_every": 3,
    "warmup_steps": 0,
    "observe_every": 6,
}
AHEAD = {"ot_batch": 32, "workers": 1}


class Stop(Exception):
    """Stands for a kill."""


def rows(seed: int, n: int = 100) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([0.01, 0.1, 1.0])
    return Batch(torch.randn(n, 3, generator=generator) * scale, torch.arange(n) % 2)


def loop(folder: Path, coupling: Any = "independent", steps: int = 20, **settings: Any) -> Loop:
    recipe = recipe_of({**SETTINGS, **settings})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = pg.models.MLP(3, num_labels=2, width=8, depth=1)
    parts = {key: settings[key] for key in ("weight", "time_law") if key in settings}
    flow = pg.wrap(model, coupling=coupling, num_labels=2, event_shape=(3,), **parts)
    engine = make_engine(recipe)
    return Loop(flow, rows(1), rows(2), recipe, seed=3, steps=steps, folder=folder, engine=engine)


def stopped(folder: Path, stops: tuple[int, ...], coupling: Any, **settings: Any) -> Loop:
    """Train, interrupted after the steps given; each part goes on from the last checkpoint."""
    for stop in (*stops, None):
        part = loop(folder, coupling, **settings)
        part.resume()

        def pause(step: int, loss: float, *, stop: int | None = stop) -> None:
            if step == stop:
                raise Stop

        try:
            part.run(pause)
        except Stop:
            continue
    return part


def weights(part: Loop) -> list[Tensor]:
    return [*part.flow.parameters(), *part.flow.objective.buffers(), *part.average._target]


@pytest.mark.parametrize(
    ("coupling", "settings"),
    [
        ("independent", {}),
        ("ot", AHEAD),
        ("ot", {"ot_batch": 48, "accumulate": 2}),
        ("independent", {"weight": "learned"}),
        ("independent", {"weight": "variance-equalising"}),
    ],
)
def test_a_stopped_loop_ends_as_one_that_was_not(
    tmp_path: Path, coupling: str, settings: dict[str, Any]
) -> None:
    """Stopped three times, inside epochs, OT batches and looks. Oracle: the loop in one go."""
    whole = stopped(tmp_path / "a", (), coupling, **settings)
    parts = stopped(tmp_path / "b", (5, 12, 19), coupling, **settings)
    for one, two in zip(weights(whole), weights(parts), strict=True):
        assert torch.equal(one, two)
    assert whole.history.train == parts.history.train
    assert whole.history.validation == parts.history.validation
    seen = [part.observed for part in (whole, parts)]
    assert seen[0] is not None
    assert seen[1] is not None
    assert seen[0].steps.tolist() == [6, 12, 18]
    assert torch.equal(seen[0].explained, seen[1].explained)
    assert torch.equal(seen[0].directions, seen[1].directions)


def test_pairs_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    """Oracle: the weights after pairing in this process."""
    here = stopped(tmp_path / "a", (), "ot", ot_batch=32)
    there = stopped(tmp_path / "b", (), "ot", ot_batch=32, workers=2)
    assert all(map(torch.equal, weights(here), weights(there)))


def test_observing_leaves_training_as_it_was(tmp_path: Path) -> None:
    """Oracle: the weights of a loop that nobody observes, and the global random state."""
    state = torch.get_rng_state()
    seen = stopped(tmp_path / "a", (), "independent", observe_every=2)
    alone = stopped(tmp_path / "b", (), "independent", observe_every=0)
    assert torch.equal(state, torch.get_rng_state())
    assert alone.observer is None
    assert seen.observed is not None
    assert seen.observed.steps[-1] == 20
    assert all(map(torch.equal, weights(seen), weights(alone)))


def test_validation_does_not_teach_what_learns_from_losses(tmp_path: Path) -> None:
    """Oracle: the running statistics of a loop that never validates."""
    often = stopped(tmp_path / "a", (), "independent", weight="variance-equalising")
    never = stopped(
        tmp_path / "b", (), "independent", weight="variance-equalising", validate_every=0
    )
    assert all(map(torch.equal, often.flow.objective.buffers(), never.flow.objective.buffers()))


def test_standing_still_is_said_once_with_a_remedy(tmp_path: Path) -> None:
    """A rate of zero learns nothing. Oracle: the text, and its place among the metrics."""
    said: list[str] = []
    logged: dict[str, float] = {}
    part = loop(tmp_path, steps=40, lr=0.0)
    assert part.observer is not None
    part.observer.notify, part.observer.log = said.append, lambda m, step: logged.update(m)
    part.run()
    assert len(said) == 1
    assert "have not improved" in said[0]
    assert "wrap(model, preconditioner=" in said[0]
    assert logged["observer/warned"] == 1


def test_many_features_are_not_observed(tmp_path: Path) -> None:
    """Oracle: the limit that the recipe's text names; it is said."""
    said: list[str] = []
    recipe = recipe_of(SETTINGS)
    flow = pg.wrap(pg.models.MLP(1025, width=4, depth=1), event_shape=(1025,))
    wide = Batch(torch.zeros(20, 1025))
    made = Loop(
        flow,
        wide,
        wide,
        recipe,
        seed=0,
        steps=1,
        folder=tmp_path,
        engine=make_engine(recipe),
        notify=said.append,
    )
    assert made.observer is None
    assert "directions are not observed: rows have 1,025 features" in said[0]


class Mortal(AbstractCoupling):
    """A coupling whose process is killed at its twentieth batch."""

    calls = 0

    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        Mortal.calls += 1
        if Mortal.calls == 20:
            os._exit(1)
        return Pairing(z0, z1, label)


def test_a_dead_worker_is_named_and_the_checkpoint_stays(tmp_path: Path) -> None:
    """Oracle: the error's text, and a file that a loop resumes from."""
    part = loop(tmp_path, Mortal(), steps=1000, workers=1, checkpoint_every=1, observe_every=0)
    with pytest.raises(WorkerError, match="a worker that pairs noise with data died"):
        part.run()
    again = loop(tmp_path, steps=1000, observe_every=0)
    assert again.resume()
    assert again.step >= 1
