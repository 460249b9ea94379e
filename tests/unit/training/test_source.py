"""Where batches come from: ranks share them, pairs follow the recipe, bad sizes are refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from precond_gm.couplings import REGISTRY
from precond_gm.errors import ConfigError
from precond_gm.training.reading import recipe_of
from precond_gm.training.source import check_ot_batch, part_of, source_of
from precond_gm.values import Batch, Pairing

ROWS = Batch(torch.randn(100, 3, generator=torch.Generator().manual_seed(0)), torch.arange(100) % 2)


def pairs(rank: int, world_size: int, first: int = 0, **settings: Any) -> list[Pairing | Batch]:
    """Return six batches of one process among some."""
    engine: Any = SimpleNamespace(
        process_index=rank, num_processes=world_size, device=torch.device("cpu")
    )
    recipe = recipe_of({"batch_size": 8, **settings})
    source = source_of(recipe, ROWS, REGISTRY.create("ot"), 1, engine)
    batches = source.batches_from(first)
    return [next(batches) for _ in range(6)]


def test_two_processes_that_gather_take_the_pairs_of_one() -> None:
    """Every step, over two OT batches. Oracle: one process with the same recipe."""
    alone = pairs(0, 1, ot_batch=24, gather=True)
    ranks = [pairs(rank, 2, ot_batch=24, gather=True) for rank in (0, 1)]
    for one, left, right in zip(alone, *ranks, strict=True):
        for name in ("z0", "z1", "label"):
            both = torch.cat([getattr(left, name), getattr(right, name)])
            assert torch.equal(getattr(one, name), both)


@pytest.mark.parametrize("settings", [{}, {"ot_batch": 24}])
def test_two_processes_take_the_rows_of_one(settings: dict[str, int]) -> None:
    """The rows of a step do not depend on the number of processes. Oracle: one process."""
    alone = pairs(0, 1, **settings)
    ranks = [pairs(rank, 2, **settings) for rank in (0, 1)]
    for one, left, right in zip(alone, *ranks, strict=True):
        found = [b.z1 if isinstance(b, Pairing) else b.x for b in (one, left, right)]
        assert torch.equal(found[0].sort(0).values, torch.cat(found[1:]).sort(0).values)


def test_batches_follow_from_their_number() -> None:
    """Oracle: the fourth batch from the start is the first batch from step three."""
    one, two = pairs(0, 1, ot_batch=24)[3], pairs(0, 1, first=3, ot_batch=24)[0]
    assert isinstance(one, Pairing)
    assert isinstance(two, Pairing)
    assert torch.equal(one.z0, two.z0)
    assert torch.equal(one.z1, two.z1)


def test_parts_keep_what_belongs_together() -> None:
    """Oracle: slices of every field; what is missing stays missing."""
    pair = Pairing(ROWS.x, -ROWS.x, ROWS.label)
    part = part_of(pair, slice(2, 5), torch.device("cpu"))
    assert torch.equal(part.z1, -part.z0)
    assert part.label is not None
    assert part.label.tolist() == [0, 1, 0]
    assert part.weight is None


def test_sizes_that_cannot_be_paired_are_refused() -> None:
    """Oracle: the texts of the errors."""
    with pytest.raises(ConfigError, match="ot_batch=12 is not a multiple of batch_size=8"):
        recipe_of({"batch_size": 8, "ot_batch": 12})
    with pytest.raises(ConfigError, match="the training part has 100"):
        check_ot_batch(recipe_of({"batch_size": 8, "ot_batch": 128}), 100)
