"""Samples and data cut into blocks of equal size, so that a figure and its floor compare."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.rows import flatten
from precond_gm.values import Batch

__all__ = ["LEAST_ROWS", "Block", "Split", "split_rows"]

LEAST_ROWS = 8  # per block: a distance between fewer rows says nothing


@dataclass(frozen=True)
class Block:
    """Flat rows in float64 with labels, and the place of each row in its own set.

    Attributes:
        rows: Shape ``batch dim``.
        label: Labels, or None.
        place: Position in the shuffled set: rows that two blocks share leave out together.
    """

    rows: Tensor
    label: Tensor | None
    place: Tensor


@dataclass(frozen=True)
class Split:
    """Two blocks of samples and two of data, all of the same size, and data set aside.

    Attributes:
        samples: Blocks of generated rows; they overlap when there are too few samples for two.
        data: Disjoint blocks of data.
        aside: Data that choose directions, features and classifiers.
    """

    samples: tuple[Block, Block]
    data: tuple[Block, Block]
    aside: Block

    @property
    def rows(self) -> int:
        """Rows per block."""
        return self.data[0].rows.shape[0]


def split_rows(
    samples: Batch,
    data: Batch,
    reference: Batch | None,
    *,
    max_rows: int,
    generator: torch.Generator,
) -> Split:
    """Shuffle and cut; the reference, where given, takes the part of the data set aside.

    Raises:
        InvalidInputError: Too few rows.
    """
    parts = 2 if reference is not None else 3
    rows = min(samples.x.shape[0], data.x.shape[0] // parts, max_rows)
    if rows < LEAST_ROWS:
        raise InvalidInputError(
            f"quality compares blocks of at least {LEAST_ROWS} rows: give {LEAST_ROWS} samples or "
            f"more and {parts * LEAST_ROWS} data rows or more; got {samples.x.shape[0]} and "
            f"{data.x.shape[0]}."
        )
    s, d = _order(samples, generator), _order(data, generator)
    last = samples.x.shape[0] - rows
    sample_blocks = (_part(samples, s, 0, rows), _part(samples, s, last, last + rows))
    data_blocks = (_part(data, d, 0, rows), _part(data, d, rows, 2 * rows))
    most = max(4096, 4 * max_rows)
    if reference is None:
        aside = _part(data, d, 2 * rows, 2 * rows + most)
    else:
        aside = _part(reference, _order(reference, generator), 0, most)
    return Split(sample_blocks, data_blocks, aside)


def _order(batch: Batch, generator: torch.Generator) -> Tensor:
    rows = batch.x.shape[0]
    return torch.randperm(rows, generator=generator, device=generator.device).to(batch.x.device)


def _part(batch: Batch, order: Tensor, start: int, stop: int) -> Block:
    """Return a stretch of the shuffled rows; the others may lie in a file and are not read."""
    index = order[start:stop]
    label = None if batch.label is None else batch.label[index]
    place = torch.arange(start, start + index.shape[0], device=index.device)
    return Block(flatten(batch.x[index]).detach().to(torch.float64), label, place)
