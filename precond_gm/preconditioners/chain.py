"""Several maps one after the other, as one map."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import final

import torch
from torch import Tensor, nn

from precond_gm.errors import InvalidInputError, InvalidTypeError
from precond_gm.numerics.rows import RowsLike, batches, collect
from precond_gm.numerics.variances import Variances
from precond_gm.preconditioners.base import AbstractPreconditioner, FitReport
from precond_gm.preconditioners.fusing import Stage, fused
from precond_gm.preconditioners.gathering import gather
from precond_gm.preconditioners.judging import judge
from precond_gm.values import Batch, InverseKind, Transformed

__all__ = ["Chain"]


@final
class Chain(AbstractPreconditioner):
    """Apply maps from first to last; a list of names resolves to a chain.

    Each map is fitted on the image of those before it. Neighbouring affine maps are multiplied out,
    so that a chain of them costs no more than its last.

    Args:
        maps: The maps, at least one; a chain inside a chain is taken apart.

    Example:
        >>> import torch
        >>> from precond_gm.preconditioners import REGISTRY
        >>> chain = REGISTRY.resolve(["standardize", ("whiten", {"form": "pca"})])
        >>> chain.fit(torch.randn(100, 3)).name
        'Chain(Standardize, Whiten)'
    """

    inverse_kind = InverseKind.CLOSED_FORM

    def __init__(self, maps: Sequence[AbstractPreconditioner]) -> None:
        super().__init__()
        flat: list[AbstractPreconditioner] = []
        for item in maps:
            if not isinstance(item, AbstractPreconditioner):
                raise InvalidTypeError(
                    f"a chain holds preconditioners; got {item!r}. Resolve names first: "
                    f"REGISTRY.resolve([...])."
                )
            flat.extend(item if isinstance(item, Chain) else [item])
        if not flat:
            raise InvalidInputError("a chain holds at least one map; use 'identity' for none.")
        self.maps = nn.ModuleList(flat)
        if any(item.inverse_kind is InverseKind.NUMERICAL for item in flat):
            self.inverse_kind = InverseKind.NUMERICAL
        self.tolerance = sum(m.tolerance for m in flat)
        self._fused: tuple[object, list[Stage]] | None = None

    def __iter__(self) -> Iterator[AbstractPreconditioner]:
        """Iterate over the maps, first to last."""
        return iter(self.maps)  # type: ignore[arg-type]

    def fit(
        self,
        x: RowsLike,
        label: Tensor | None = None,
        *,
        num_labels: int | None = None,
        max_steps: int | None = None,
        generator: torch.Generator | None = None,
    ) -> FitReport:
        """Fit each map on the image of those before it; the report judges them as one.

        Closed forms inside a chain have seen the rows held out for the report (a tenth of all).
        """
        started = time.perf_counter()
        rows: RowsLike = list(batches(x)) if isinstance(x, Iterator) else x
        data = gather(rows, label, _count, num_labels=num_labels, generator=generator)
        steps = 0
        notes: list[str] = []
        for index, item in enumerate(self):
            if index:
                rows = _image(self.maps[index - 1], rows, label)  # type: ignore[arg-type]
            report = item.fit(
                rows, label, num_labels=num_labels, max_steps=max_steps, generator=generator
            )
            steps += report.steps
            own = (note for note in report.notes if "conditioning" not in note)
            notes += [f"{report.name}: {note}" for note in own]  # the chain is judged as a whole
        self._settle(data.event_shape)
        report = judge(
            self,
            data.rows,
            num_rows=data.num_rows,
            started=started,
            steps=steps,
            notes=tuple(notes),
        )
        names = ", ".join(type(item).__name__ for item in self)
        return dataclasses.replace(report, name=f"Chain({names})")

    def build(self, event_shape: tuple[int, ...], num_labels: int | None) -> None:
        """Allocate every map."""
        for item in self:
            item.build(event_shape, num_labels)
        self._settle(tuple(event_shape))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Transformed:
        """Apply every map, first to last."""
        self.require(x, label)
        total = x.new_zeros(x.shape[0])
        for stage in self._stages():
            x, log_abs_det = _parts(stage(x, label))
            total = total + log_abs_det
        return Transformed(x, total)

    def inverse(self, z: Tensor, label: Tensor | None = None) -> Transformed:
        """Undo every map, last to first."""
        self.require(z, label)
        total = z.new_zeros(z.shape[0])
        for stage in reversed(self._stages()):
            z, log_abs_det = _parts(stage.inverse(z, label))
            total = total + log_abs_det
        return Transformed(z, total)

    def _stages(self) -> list[Stage]:
        """Multiply affine neighbours out, once for every state of their tensors."""
        state = tuple((b.data_ptr(), b._version, b.dtype, b.device) for b in self.buffers())
        if self._fused is None or self._fused[0] != state:
            self._fused = (state, fused(list(self)))
        return self._fused[1]

    def _settle(self, event_shape: tuple[int, ...]) -> None:
        counts = [item.num_labels for item in self if item.num_labels is not None]
        self.event_shape, self.num_labels = event_shape, max(counts, default=None)


class _Mapped:
    """The image of an iterable of batches, as often as it is asked for."""

    def __init__(self, item: AbstractPreconditioner, rows: RowsLike) -> None:
        self._item, self._rows = item, rows

    def __iter__(self) -> Iterator[Batch]:
        with torch.no_grad():
            for batch in batches(self._rows):
                yield Batch(self._item(batch.x, batch.label).value, batch.label)


def _image(item: AbstractPreconditioner, rows: RowsLike, label: Tensor | None) -> RowsLike:
    if not isinstance(rows, Tensor):
        return _Mapped(item, rows)
    return collect(_Mapped(item, list(batches(rows, label)))).x


def _count(rows: Tensor) -> Variances:
    return Variances.of(rows.flatten(1))


def _parts(image: Transformed) -> tuple[Tensor, Tensor]:
    return image.value, image.log_abs_det
