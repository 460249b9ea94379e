"""Batches and seeds as functions of the step."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from precond_gm.training.recipe import Recipe
from precond_gm.training.schedule import learning_rate
from precond_gm.training.streams import BatchOrder, seed_of


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 50), batch=st.integers(1, 70), seed=st.integers(0, 5))
def test_epochs_are_permutations_laid_end_to_end(rows: int, batch: int, seed: int) -> None:
    """Every row is seen once per epoch. Oracle: counting over whole epochs."""
    order = BatchOrder(rows, batch, seed)
    steps = rows  # rows * batch is a whole number of epochs
    seen = torch.cat([order.indices(step) for step in range(steps)])
    assert torch.bincount(seen, minlength=rows).tolist() == [batch] * rows


def test_a_step_depends_on_nothing_before_it() -> None:
    """A resumed run asks for step 37 first. Oracle: the run that was not interrupted."""
    through = BatchOrder(100, 32, 0)
    before = [through.indices(step) for step in range(40)]
    assert torch.equal(BatchOrder(100, 32, 0).indices(37), before[37])


def test_processes_share_one_batch() -> None:
    """Slices of all ranks together are the batch of one process. Oracle: concatenation."""
    whole = BatchOrder(100, 32, 0).indices(5)
    parts = [BatchOrder(100, 32, 0, rank=r, world_size=4).indices(5) for r in range(4)]
    assert torch.equal(torch.cat(parts), whole)


def test_seeds_do_not_collide() -> None:
    """Neighbouring seeds, streams and steps give different seeds: 8,000 of them."""
    seeds = {seed_of(a, b, c) for a in range(20) for b in range(20) for c in range(20)}
    assert len(seeds) == 8000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_learning_rate_rises_holds_and_falls() -> None:
    """Oracle: the definition at its corners."""
    recipe = Recipe(lr=2.0, warmup_steps=4, schedule="constant")
    assert [learning_rate(recipe, k, 10) for k in (0, 3, 9)] == [0.5, 2.0, 2.0]
