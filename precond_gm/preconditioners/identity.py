"""The map that does nothing: the plain model, under the same interface."""

from __future__ import annotations

import time
from typing import final

import torch
from torch import Tensor

from precond_gm.numerics.rows import RowsLike
from precond_gm.numerics.variances import Variances
from precond_gm.preconditioners.base import AbstractPreconditioner, FitReport
from precond_gm.preconditioners.gathering import gather
from precond_gm.preconditioners.judging import judge
from precond_gm.values import InverseKind, Transformed

__all__ = ["Identity"]


@final
class Identity(AbstractPreconditioner):
    """Leave rows as they are.

    Cost: none. Conditioning: unchanged.

    Example:
        >>> import torch
        >>> from precond_gm.preconditioners import Identity
        >>> Identity().fit(torch.randn(64, 2)).steps
        0
    """

    inverse_kind = InverseKind.CLOSED_FORM
    needs_fit = False
    tolerance = 0.0

    def fit(
        self,
        x: RowsLike,
        label: Tensor | None = None,
        *,
        num_labels: int | None = None,
        max_steps: int | None = None,
        generator: torch.Generator | None = None,
    ) -> FitReport:
        """Look at the rows, and report on them."""
        started = time.perf_counter()
        data = gather(
            x,
            label,
            lambda rows: Variances.of(rows.flatten(1)),
            num_labels=num_labels,
            generator=generator,
        )
        self.build(data.event_shape, data.num_labels)
        return judge(self, data.rows, num_rows=data.num_rows, started=started)

    def build(self, event_shape: tuple[int, ...], num_labels: int | None) -> None:
        """Remember the shape of a row."""
        self.event_shape = tuple(event_shape)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Transformed:
        """Return the rows with a log-determinant of zero."""
        self.require(x, label)
        return Transformed(x, x.new_zeros(x.shape[0]))

    def inverse(self, z: Tensor, label: Tensor | None = None) -> Transformed:
        """Return the rows with a log-determinant of zero."""
        return self.forward(z, label)
