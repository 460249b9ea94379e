"""Randomness as a function of (seed, step, rank), so that a resumed run needs no saved stream."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.values import Batch

__all__ = ["BatchOrder", "seed_of"]

_MASK = 2**64 - 1


def seed_of(*parts: int) -> int:
    """Mix whole numbers into one seed, by the finaliser of SplitMix64 (Steele et al., 2014).

    Example:
        >>> seed_of(0, 1) != seed_of(1, 0)
        True
    """
    state = 0x9E3779B97F4A7C15
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1  # torch takes signed 64 bit seeds


class BatchOrder:
    """Which rows make the batch of a step: epochs are permutations, laid end to end.

    With several processes each takes its slice of the same batch, so their number changes
    nothing about which rows a step sees.

    Args:
        rows: Rows of the training part.
        batch_size: Rows of a step, over all processes.
        seed: Of the run.
        rank, world_size: This process and their number.
    """

    def __init__(
        self, rows: int, batch_size: int, seed: int, *, rank: int = 0, world_size: int = 1
    ) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self._mine = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)
        self._epochs: dict[int, Tensor] = {}

    def indices(self, step: int) -> Tensor:
        """Return this process's row numbers of a step, counted from 0."""
        first = step * self.batch_size
        last = first + self.batch_size
        epochs = range(first // self.rows, (last - 1) // self.rows + 1)
        pieces = [
            self._epoch(e)[max(first - e * self.rows, 0) : min(last - e * self.rows, self.rows)]
            for e in epochs
        ]
        self._epochs = {e: self._epochs[e] for e in epochs}
        return (pieces[0] if len(pieces) == 1 else torch.cat(pieces))[self._mine]

    def batch(self, part: Batch, step: int) -> Batch:
        """Return this process's rows of a step."""
        index = self.indices(step).to(part.x.device)
        return Batch(part.x[index], None if part.label is None else part.label[index])

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self._epochs:
            generator = torch.Generator().manual_seed(seed_of(self.seed, 1, epoch))
            self._epochs[epoch] = torch.randperm(self.rows, generator=generator)
        return self._epochs[epoch]
