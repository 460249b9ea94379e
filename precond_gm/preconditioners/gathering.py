r"""One pass over the rows: moments per label, of the rows fitted on and of the rows held out.

Affine maps need nothing else, so a stream is read once and no more than a sample of it is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.rows import RowsLike, batches, check_label, check_rows
from precond_gm.preconditioners.precision import widened
from precond_gm.values import Batch

__all__ = [
    "HELD_OUT",
    "Gathered",
    "Statistic",
    "gather",
    "held_out_mask",
    "merged",
    "rows_at_once",
    "sample",
    "split",
    "thinned",
]

HELD_OUT = 0.1  # share of rows on which a fit is judged
KEPT_NUMBERS = 2**26  # held-out rows kept for the report: at most 256 MiB in float32
SAMPLED_NUMBERS = 2**29  # rows kept for a flow: at most 2 GiB in float32


class Statistic(Protocol):
    """What a fit needs to know about rows: a count, and a way to merge two of them."""

    @property
    def count(self) -> int:
        """Number of rows."""
        ...

    def merge(self, other: Self) -> Self:
        """Return the statistic of both sets of rows."""
        ...


S = TypeVar("S", bound=Statistic)


@dataclass(frozen=True)
class Gathered(Generic[S]):
    """What one pass over the rows left.

    Attributes:
        fitted: Statistic of each label's fitting rows; None for a label without any.
        held: The same of the rows held out.
        rows: Held-out rows (a sample of them if they are many), for the report; all rows are
            fitting rows, too, where there are too few to hold any out.
        event_shape: Shape of a row.
        num_labels: Number of labels, or None without labels.
        num_rows: Rows seen.
    """

    fitted: list[S | None]
    held: list[S | None]
    rows: Batch
    event_shape: tuple[int, ...]
    num_labels: int | None
    num_rows: int

    @property
    def total(self) -> list[S | None]:
        """Statistic of each label's rows, held out or not."""
        return [merged(pair) for pair in zip(self.fitted, self.held, strict=True)]


def merged(parts: tuple[S | None, ...] | list[S | None]) -> S | None:
    """Merge the statistics that are there."""
    result: S | None = None
    for part in parts:
        if part is not None:
            result = part if result is None else result.merge(part)
    return result


def held_out_mask(rows: int, generator: torch.Generator | None) -> Tensor:
    """Draw which rows are held out: at random, since data files are often sorted or cyclic."""
    device = generator.device if generator is not None else None
    return (torch.rand(rows, generator=generator, device=device) < HELD_OUT).cpu()


def split(batch: Batch, generator: torch.Generator | None = None) -> tuple[Batch, Batch]:
    """Split rows into those fitted on and those held out; with few rows, both are all of them."""
    mask = held_out_mask(batch.x.shape[0], _own(generator)).to(batch.x.device)
    if not bool(mask.any()) or bool(mask.all()):
        return batch, batch
    return _pick(batch, ~mask), _pick(batch, mask)


def thinned(batch: Batch, most: int, generator: torch.Generator | None = None) -> Batch:
    """Keep at most so many rows, drawn at random, in their order."""
    count = batch.x.shape[0]
    if count <= most:
        return batch
    draw = _own(generator)
    kept = torch.randperm(count, generator=draw, device=draw.device)[:most].sort().values
    return _pick(batch, kept.to(batch.x.device))


def sample(
    x: RowsLike,
    label: Tensor | None = None,
    *,
    num_labels: int | None = None,
    generator: torch.Generator,
) -> tuple[Batch, int | None]:
    """Keep rows for a flow, thinned at random if they do not fit into memory; check them.

    Returns:
        The rows, and the number of labels (None without labels).

    Raises:
        InvalidInputError: As for ``gather``.
    """
    kept = _Reservoir(generator, SAMPLED_NUMBERS)
    largest = -1
    event_shape: tuple[int, ...] | None = None
    labelled: bool | None = None
    for given in batches(x, label):
        event_shape, labelled = _check(given, event_shape, labelled, num_labels)
        batch = Batch(widened(given.x), given.label)
        largest = max(largest, -1 if batch.label is None else int(batch.label.max()))
        kept.add(batch, spare=batch)
    rows = kept.rows() if event_shape is not None else None
    if rows is None or rows.x.shape[0] < 2:
        raise InvalidInputError(_too_few(0 if rows is None else rows.x.shape[0]))
    return rows, (num_labels or largest + 1) if labelled else None


def gather(
    x: RowsLike,
    label: Tensor | None,
    measure: Callable[[Tensor], S],
    *,
    num_labels: int | None = None,
    generator: torch.Generator | None = None,
) -> Gathered[S]:
    """Read the rows once and check them on the way.

    Args:
        x: Rows, or an iterable of batches.
        label: Labels of the rows, if ``x`` is a tensor.
        measure: Statistic of rows ``batch *event``.
        num_labels: Number of labels; one more than the largest if not given.
        generator: Draws which rows are held out; a fixed seed if not given.

    Raises:
        InvalidInputError: No rows, one row, rows that are not finite, labels out of range or
            missing in some batches.
    """
    generator = _own(generator)
    sides: tuple[dict[int, S], dict[int, S]] = ({}, {})
    kept = _Reservoir(generator)
    event_shape: tuple[int, ...] | None = None
    labelled: bool | None = None
    count = 0
    for given in batches(x, label, size=rows_at_once(x)):
        event_shape, labelled = _check(given, event_shape, labelled, num_labels)
        batch = Batch(widened(given.x), given.label)
        count += batch.x.shape[0]
        mask = held_out_mask(batch.x.shape[0], generator).to(batch.x.device)
        for side, where in zip(sides, (~mask, mask), strict=True):
            _measure(side, _pick(batch, where), measure)
        kept.add(_pick(batch, mask), spare=batch)
    if event_shape is None or count < 2:
        raise InvalidInputError(_too_few(count))
    seen = 1 + max((*sides[0], *sides[1]))
    fitted, held = sides if sides[0] else (sides[1], {})
    labels = range(num_labels or seen) if labelled else range(1)
    return Gathered(
        [fitted.get(index) for index in labels],
        [held.get(index) for index in labels],
        kept.rows(),
        event_shape,
        len(labels) if labelled else None,
        count,
    )


class _Reservoir:
    """Keeps a thinned, unbiased sample of a stream within a fixed memory."""

    def __init__(self, generator: torch.Generator, numbers: int = KEPT_NUMBERS) -> None:
        self._generator = generator
        self._numbers = numbers
        self._parts: list[Batch] = []
        self._share = 1.0
        self._spare: Batch | None = None

    def add(self, batch: Batch, spare: Batch) -> None:
        self._spare = self._spare or spare
        self._parts.append(self._thin(batch, self._share))
        while sum(part.x.numel() for part in self._parts) > self._numbers:
            self._parts = [self._thin(part, 0.5) for part in self._parts]
            self._share /= 2

    def rows(self) -> Batch:
        parts = [part for part in self._parts if part.x.shape[0]]
        if not parts:  # a handful of rows, none of them held out
            assert self._spare is not None
            return self._spare
        labels = [part.label for part in parts if part.label is not None]
        return Batch(torch.cat([part.x for part in parts]), torch.cat(labels) if labels else None)

    def _thin(self, batch: Batch, share: float) -> Batch:
        if share == 1.0:
            return batch
        draw = torch.rand(
            batch.x.shape[0], generator=self._generator, device=self._generator.device
        )
        return _pick(batch, (draw < share).to(batch.x.device))


def _check(
    batch: Batch, event_shape: tuple[int, ...] | None, labelled: bool | None, num_labels: int | None
) -> tuple[tuple[int, ...], bool]:
    """Check one batch against those before it."""
    check_rows(batch.x, event_shape=event_shape)
    check_label(batch.label, batch.x.shape[0], num_labels=num_labels)
    if labelled is not None and labelled != (batch.label is not None):
        raise InvalidInputError("some batches carry labels and some do not. Give all or none.")
    return tuple(batch.x.shape[1:]), batch.label is not None


def rows_at_once(x: RowsLike) -> int:
    """Rows measured at once: at most 128 MiB in float64."""
    return (
        max(16, min(8192, 2**24 * x.shape[0] // max(1, x.numel()))) if isinstance(x, Tensor) else 0
    )


def _too_few(count: int) -> str:
    return (
        f"fitting needs at least 2 rows, got {count}. An iterator can be read only once: pass a "
        f"list or a DataLoader."
    )


def _measure(side: dict[int, S], batch: Batch, measure: Callable[[Tensor], S]) -> None:
    if not batch.x.shape[0]:
        return
    if batch.label is None:
        part = measure(batch.x)
        side[0] = side[0].merge(part) if 0 in side else part
        return
    for index in torch.unique(batch.label).tolist():
        part = measure(batch.x[batch.label == index])
        side[index] = side[index].merge(part) if index in side else part


def _pick(batch: Batch, mask: Tensor) -> Batch:
    return Batch(batch.x[mask], None if batch.label is None else batch.label[mask])


def _own(generator: torch.Generator | None) -> torch.Generator:
    """Which rows are held out must not depend on global state: a fixed seed by default."""
    return generator if generator is not None else torch.Generator().manual_seed(0)
