"""Where the batches of the steps come from: rows in memory, or pairs made ahead of time."""

from __future__ import annotations

import abc
from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch

from precond_gm.couplings import PairsAhead
from precond_gm.couplings.base import AbstractCoupling
from precond_gm.errors import ConfigError
from precond_gm.training.recipe import Recipe
from precond_gm.training.streams import BatchOrder, seed_of
from precond_gm.values import Batch, Pairing

__all__ = ["AbstractSource", "check_ot_batch", "part_of", "source_of"]

_PAIRS = 6  # stream of a run's seed

Rows = TypeVar("Rows", bound="Batch | Pairing")


class AbstractSource(abc.ABC):
    """The batches of one process. Batch k depends on the run's seed and on k only."""

    @abc.abstractmethod
    def batches_from(self, step: int) -> Generator[Batch | Pairing, None, None]:
        """Yield the batches of all steps from ``step`` on, without end."""

    def guarding(self) -> AbstractContextManager[None]:
        """Return a context for the loop, in which the source's own failures are explained."""
        return nullcontext()


@dataclass(frozen=True)
class InMemory(AbstractSource):
    """Rows, which the step itself pairs with noise."""

    rows: Batch
    order: BatchOrder

    def batches_from(self, step: int) -> Generator[Batch, None, None]:
        """Yield rows by number."""
        while True:
            yield self.order.batch(self.rows, step)
            step += 1


@dataclass(frozen=True)
class AheadOfTime(AbstractSource):
    """Pairs, which loader workers make while the network trains."""

    pairs: PairsAhead

    def batches_from(self, step: int) -> Generator[Pairing, None, None]:
        """Yield pairs."""
        return self.pairs.batches_from(step)

    def guarding(self) -> AbstractContextManager[None]:
        """Explain the death of a worker."""
        return self.pairs.naming_dead_workers()


def source_of(
    recipe: Recipe, rows: Batch, coupling: AbstractCoupling, seed: int, engine: Any
) -> AbstractSource:
    """Return the source that a recipe asks for.

    Args:
        recipe: ``ot_batch`` and ``workers`` say whether pairs are made ahead of time.
        rows: Rows z and labels; in the machine's memory if they are paired ahead of time.
        coupling: Fitted, if it needs it.
        seed: Of the run.
        engine: An Accelerator.
    """
    rank, world_size = engine.process_index, engine.num_processes
    if not recipe.pairs_ahead:
        order = BatchOrder(
            rows.x.shape[0], recipe.batch_size, seed, rank=rank, world_size=world_size
        )
        return InMemory(rows, order)
    return AheadOfTime(
        PairsAhead(
            rows.x,
            rows.label,
            coupling,
            recipe.batch_size // world_size,
            ot_batch=(recipe.ot_batch or recipe.batch_size) // world_size,
            seed=seed_of(seed, _PAIRS),
            num_workers=recipe.workers,
            rank=rank,
            world_size=world_size,
            gather=recipe.gather,
            pin_memory=engine.device.type == "cuda",
        )
    )


def check_ot_batch(recipe: Recipe, rows: int) -> None:
    """Check that the training part has as many rows as are paired at once.

    Raises:
        ConfigError: It has fewer.
    """
    if recipe.ot_batch > rows:
        raise ConfigError(
            f"ot_batch={recipe.ot_batch} rows are paired at once, but the training part has "
            f"{rows}. Use a smaller multiple of batch_size={recipe.batch_size}."
        )


def part_of(batch: Rows, rows: slice, device: torch.device) -> Rows:
    """Return some rows of a batch, on the device."""
    found = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return replace(
        batch,
        **{
            name: value[rows].to(device, non_blocking=True)
            for name, value in found.items()
            if value is not None
        },
    )
