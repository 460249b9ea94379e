"""A preconditioner in a distribution of its own: long tails drawn in by an arcsinh."""

from __future__ import annotations

import time
from typing import final

import torch
from torch import Tensor

from precond_gm.numerics.rows import RowsLike, flatten
from precond_gm.preconditioners import AbstractPreconditioner, FitReport
from precond_gm.preconditioners.gathering import sample, split
from precond_gm.preconditioners.judging import judge
from precond_gm.preconditioners.precision import full_precision
from precond_gm.values import InverseKind, Transformed

__all__ = ["Arcsinh"]


@final
class Arcsinh(AbstractPreconditioner):
    r"""Draw in long tails: ``z = asinh(x / s)``, with s the median absolute value of each feature.

    Nearly linear within s and logarithmic beyond; a bijection of the line with a closed-form
    inverse. Labels play no part. `precond-gm list` shows the next two sentences.

    Cost: O(d) both ways. Conditioning: that of rows without their tails; correlation stays.

    Args:
        scale: Common scale s; found from the data if not given.

    Example:
        >>> import torch
        >>> _ = Arcsinh().fit(torch.randn(100, 2).exp())
    """

    inverse_kind = InverseKind.CLOSED_FORM
    tolerance = 1e-4
    unit: Tensor

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        self.scale = scale

    def build(self, event_shape: tuple[int, ...], num_labels: int | None) -> None:
        """Allocate what ``fit`` fills."""
        self.register_buffer("unit", torch.ones(event_shape))
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
        """Find the scale of each feature."""
        started = time.perf_counter()
        generator = generator if generator is not None else torch.Generator().manual_seed(0)
        rows, _ = sample(x, label, num_labels=num_labels, generator=generator)
        train, held = split(rows, generator)
        self.build(tuple(rows.x.shape[1:]), num_labels)
        found = train.x.abs().median(0).values.clamp_min(1e-12)
        self.unit = found if self.scale is None else torch.full_like(found, self.scale)
        return judge(self, held, num_rows=train.x.shape[0], started=started)

    @full_precision
    def forward(self, x: Tensor, label: Tensor | None = None) -> Transformed:
        """Draw the tails in."""
        self.require(x, label)
        u = x / self.unit
        slope = -0.5 * torch.log1p(u.square()) - self.unit.log()
        return Transformed(torch.asinh(u), flatten(slope).sum(1))

    @full_precision
    def inverse(self, z: Tensor, label: Tensor | None = None) -> Transformed:
        """Let the tails out."""
        self.require(z, label)
        u = torch.sinh(z)
        slope = 0.5 * torch.log1p(u.square()) + self.unit.log()
        return Transformed(u * self.unit, flatten(slope).sum(1))
