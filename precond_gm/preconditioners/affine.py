"""The mechanism of every closed-form affine map: a layout, and an operator per label on blocks.

A row is laid out in blocks by an isometry (flattening, cutting into patches, a cosine transform);
each label's operator then acts on the blocks. ``whiten`` is one block of all features,
``standardize`` the same with a diagonal operator, ``patch`` many small blocks, ``spectral`` a
cosine transform with a diagonal operator.
"""

from __future__ import annotations

import abc
import dataclasses
import time
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from precond_gm.numerics.rows import RowsLike, batches
from precond_gm.preconditioners.base import AbstractPreconditioner, FitReport
from precond_gm.preconditioners.gathering import Gathered, Statistic, gather
from precond_gm.preconditioners.judging import judge
from precond_gm.preconditioners.operators import AbstractOperator
from precond_gm.preconditioners.precision import full_precision
from precond_gm.values import Batch, InverseKind, Transformed

__all__ = ["AbstractAffine"]

S = TypeVar("S", bound=Statistic)


class AbstractAffine(AbstractPreconditioner, Generic[S]):
    """Affine map per label, fitted from streamed moments.

    Args:
        shared: Use one map for all labels.
    """

    inverse_kind = InverseKind.CLOSED_FORM
    tolerance = 1e-5
    operator: AbstractOperator

    def __init__(self, shared: bool) -> None:
        super().__init__()
        self.shared = shared

    @abc.abstractmethod
    def make_operator(self, labels: int, blocks: int, size: int) -> AbstractOperator:
        """Allocate the operator for so many blocks of one size."""

    @abc.abstractmethod
    def measure(self, blocks: Tensor) -> S:
        """Return the statistic of rows laid out as ``batch blocks k``."""

    @abc.abstractmethod
    def solve(self, laws: list[S | None], choice: Any, like: Tensor) -> tuple[str, ...]:
        """Fill the operator from each label's statistic; return what there is to say."""

    def choose(self, data: Gathered[S]) -> Any:
        """Pick what held-out rows decide; ``solve`` gets it."""
        return None

    def arrange(self, x: Tensor) -> Tensor:
        """Lay rows ``batch *event`` out as ``batch blocks k``."""
        return x.reshape(x.shape[0], 1, -1)

    def restore(self, blocks: Tensor) -> Tensor:
        """Undo ``arrange``."""
        assert self.event_shape is not None
        return blocks.reshape(blocks.shape[0], *self.event_shape)

    def build(self, event_shape: tuple[int, ...], num_labels: int | None) -> None:
        """Allocate every tensor that ``fit`` fills."""
        self.num_labels = None if self.shared else num_labels
        blocks = self.arrange(torch.zeros(1, *event_shape))
        self.operator = self.make_operator(self.num_labels or 1, *blocks.shape[1:])
        self.event_shape = tuple(event_shape)

    def fit(
        self,
        x: RowsLike,
        label: Tensor | None = None,
        *,
        num_labels: int | None = None,
        max_steps: int | None = None,
        generator: torch.Generator | None = None,
    ) -> FitReport:
        """Fit in one pass over the rows.

        The report judges the map of nine tenths of the rows on the tenth held out; the map that
        is left behind is then fitted, with the same choices, on all of them.
        """
        started = time.perf_counter()
        rows = (Batch(b.x) for b in batches(x, label)) if self.shared else x
        data = gather(
            rows,
            None if self.shared else label,
            lambda part: self.measure(self.arrange(part.to(torch.float64))),
            num_labels=num_labels,
            generator=generator,
        )
        like = data.rows.x
        self.build(data.event_shape, data.num_labels)
        choice = self.choose(data)
        self.solve(data.fitted, choice, like)
        report = judge(self, data.rows, num_rows=data.num_rows, started=started)
        notes = self.solve(data.total, choice, like)
        seconds = time.perf_counter() - started
        return dataclasses.replace(report, notes=(*notes, *report.notes), seconds=seconds)

    @full_precision
    def forward(self, x: Tensor, label: Tensor | None = None) -> Transformed:
        """Map data to preconditioned coordinates."""
        self.require(x, label)
        label = None if self.num_labels is None else label
        blocks = self.arrange(x)
        value = self.restore(self.operator(blocks, label))
        return Transformed(value, self.operator.log_abs_det(label, x))

    @full_precision
    def inverse(self, z: Tensor, label: Tensor | None = None) -> Transformed:
        """Map preconditioned coordinates back to data."""
        self.require(z, label)
        label = None if self.num_labels is None else label
        blocks = self.arrange(z)
        value = self.restore(self.operator.inverse(blocks, label))
        return Transformed(value, -self.operator.log_abs_det(label, z))
