"""The two ends of the path as a stream: rows of data in z, paired with noise where that matters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from precond_gm.couplings.base import AbstractCoupling
from precond_gm.errors import InvalidInputError, NonFiniteError
from precond_gm.numerics.noise import standard_normal
from precond_gm.numerics.rows import (
    RowsLike,
    batches,
    check_label,
    check_rows,
    checked,
    collect,
    flatten,
)
from precond_gm.preconditioners.base import AbstractPreconditioner
from precond_gm.values import Batch, Pairing

__all__ = ["Ends", "entered", "fitted_on_half", "local_generator", "raise_for_values"]

_NUMBERS_AT_ONCE = 2**24  # a chunk of 64 MiB in float32


def local_generator(generator: torch.Generator | None) -> torch.Generator:
    """Return the generator given, or a fresh one with seed 0: never the global one."""
    return generator if generator is not None else torch.Generator().manual_seed(0)


@dataclass(frozen=True)
class Ends:
    """Pairs (z0, z1), flat, as a stream that can be read again and then gives the same pairs.

    Attributes:
        data: Rows of data, or batches of them.
        label: Labels, when ``data`` is a tensor.
        preconditioner: Fitted map applied to the rows, or None.
        coupling: Pairs noise with data. Where it is independent (or None) no noise is drawn,
            since Sigma_t does not need it, and ``z0`` is empty.
        source: Rows of the source law, or None for N(0, I).
        batch_size: Rows that the coupling sees at once.
        generator: Its state is where every reading starts.
    """

    data: RowsLike
    label: Tensor | None = None
    preconditioner: AbstractPreconditioner | None = None
    coupling: AbstractCoupling | None = None
    source: Tensor | None = None
    batch_size: int = 256
    generator: torch.Generator = field(default_factory=torch.Generator)

    def __iter__(self) -> Iterator[Pairing]:
        generator = torch.Generator(self.generator.device)
        generator.set_state(self.generator.get_state())
        for batch in self._shuffled(generator):
            for piece in batches(batch.x, batch.label, size=self._size(batch.x)):
                z1 = self._to_z(piece)
                if self.coupling is None or not self.is_paired:
                    yield Pairing(z1[:, :0], z1, piece.label)
                    continue
                pairing = self.coupling.pair(
                    self._draw(z1, generator), z1, piece.label, generator=generator
                )
                yield Pairing(
                    flatten(pairing.z0), flatten(pairing.z1), pairing.label, pairing.weight
                )

    @property
    def dim(self) -> int:
        """Number of features of a row."""
        first = self.data if isinstance(self.data, Tensor) else next(batches(self.data)).x
        return first[0].numel()

    @property
    def is_paired(self) -> bool:
        """Whether noise is drawn and paired."""
        return self.coupling is not None and not self.coupling.is_independent

    def _size(self, x: Tensor) -> int:
        if self.is_paired:
            return self.batch_size
        return max(64, _NUMBERS_AT_ONCE // x[0].numel())

    def _shuffled(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the data; a tensor is shuffled first where batches matter (sorted labels)."""
        if self.is_paired and isinstance(self.data, Tensor):
            order = torch.randperm(self.data.shape[0], generator=generator, device=generator.device)
            order = order.to(self.data.device)
            label = None if self.label is None else self.label[order]
            yield Batch(self.data[order], label)
            return
        if isinstance(self.data, Tensor):
            yield Batch(self.data, self.label)
        else:
            yield from batches(self.data, self.label)

    def _to_z(self, batch: Batch) -> Tensor:
        if self.preconditioner is None:
            return flatten(batch.x)
        with torch.no_grad():
            return flatten(self.preconditioner(batch.x, batch.label).value)

    def _draw(self, z1: Tensor, generator: torch.Generator) -> Tensor:
        if self.source is None:
            return standard_normal(z1, generator)
        index = torch.randint(
            self.source.shape[0], (z1.shape[0],), generator=generator, device=generator.device
        )
        return flatten(self.source)[index.to(self.source.device)].to(z1)


def fitted_on_half(
    preconditioner: AbstractPreconditioner,
    x: RowsLike,
    label: Tensor | None,
    generator: torch.Generator,
) -> tuple[RowsLike, Tensor | None, str]:
    """Fit a map on a random half of the rows and return the other half, with a note that says so.

    Raises:
        InvalidInputError: Fewer than four rows.
    """
    batch = collect(x, label)
    rows = batch.x.shape[0]
    if rows < 4:
        raise InvalidInputError(
            f"fitting a preconditioner and judging it takes at least 4 rows; got {rows}. "
            f"Give more rows, or a preconditioner that is fitted already."
        )
    order = torch.randperm(rows, generator=generator, device=generator.device).to(batch.x.device)
    train, held_out = order[: rows // 2], order[rows // 2 :]

    def part(index: Tensor) -> tuple[Tensor, Tensor | None]:
        return batch.x[index], None if batch.label is None else batch.label[index]

    num_labels = None if batch.label is None else int(batch.label.max()) + 1
    options: dict[str, Any] = {"num_labels": num_labels, "generator": generator}
    preconditioner.fit(*part(train), **options)
    preconditioner.requires_grad_(False).eval()
    note = (
        f"{type(preconditioner).__name__} was fitted on {train.numel()} of the rows; this report "
        f"is about the other {held_out.numel()}."
    )
    return *part(held_out), note


def entered(x: RowsLike, label: Tensor | None) -> RowsLike:
    """Check what a glance shows: type, shape, labels, and that the data can be read again.

    NaN and infinity make every moment they touch so; ``raise_for_values`` looks for the position
    only then, which saves a pass over large data.

    Raises:
        InvalidInputError: A wrong label, fewer than two rows, or an iterator.
    """
    if not isinstance(x, Tensor):
        return checked(x, label)
    check_rows(x[:1])
    check_label(label, x.shape[0])
    if x.shape[0] < 2:
        raise InvalidInputError(
            f"a covariance takes at least 2 rows; got {x.shape[0]}. Give more rows."
        )
    return x


def raise_for_values(x: RowsLike, ends: Ends) -> None:
    """Name the first row that is not finite.

    Raises:
        InvalidInputError: NaN or infinity in the data.
        NonFiniteError: The data are finite, so the preconditioner or the coupling made them so.
    """
    for batch in batches(x):
        check_rows(batch.x)
    for pair in ends:
        for name, rows in (("z0", pair.z0), ("z1", pair.z1)):
            bad = int((~torch.isfinite(rows)).any(1).sum())
            if bad:
                raise NonFiniteError(
                    f"{name} is not finite in {bad} of {rows.shape[0]} rows although the data "
                    f"are. Look at the preconditioner {ends.preconditioner!r}: rows outside the "
                    f"region that it was fitted on, or a singular fit."
                )
