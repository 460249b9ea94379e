"""Shapes and checks of rows: where data enter, everything wrong is named by position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError, InvalidTypeError
from precond_gm.values import Batch

__all__ = [
    "RowsLike",
    "batches",
    "check_label",
    "check_rows",
    "checked",
    "collect",
    "expand",
    "flatten",
]

_CHUNK = 2**22  # numbers that are looked at together
_INDICES = (torch.int64, torch.int32)  # uint8 would be taken for a mask, not for positions

RowsLike: TypeAlias = "Tensor | Iterable[Batch | Tensor | tuple[Tensor, Tensor | None]]"


def flatten(x: Tensor) -> Tensor:
    """View rows ``batch *event`` as ``batch dim``."""
    return x.reshape(x.shape[0], -1)


def expand(per_row: Tensor, like: Tensor) -> Tensor:
    """Append axes so that one number per row broadcasts against ``like``."""
    return per_row.reshape(per_row.shape + (1,) * (like.ndim - per_row.ndim))


def check_rows(x: Tensor, *, name: str = "x", event_shape: tuple[int, ...] | None = None) -> Tensor:
    """Check rows where data enter.

    Raises:
        InvalidTypeError: Not a floating tensor.
        InvalidInputError: No rows, another event shape, NaN or infinity (first position named).
    """
    if not isinstance(x, Tensor):
        raise InvalidTypeError(
            f"{name} is a torch tensor of shape (batch, *event); got {type(x).__name__}. "
            f"Convert it first, with torch.as_tensor for example."
        )
    if not x.is_floating_point():
        raise InvalidTypeError(
            f"{name} holds floating point numbers; got {x.dtype}. Write {name}.float(); integer "
            f"data (pixels, counts) should be dequantised as well."
        )
    if x.ndim < 2 or x.shape[0] == 0 or x[0].numel() == 0:
        raise InvalidInputError(
            f"{name} has shape (batch, *event) with at least one row and one feature; "
            f"got {tuple(x.shape)}."
        )
    if event_shape is not None and tuple(x.shape[1:]) != tuple(event_shape):
        raise InvalidInputError(
            f"{name} has rows of shape {tuple(x.shape[1:])}, expected {tuple(event_shape)}. "
            f"Use rows of the shape that was fitted."
        )
    rows = max(1, _CHUNK // x[0].numel())  # the rows may be mapped, and larger than memory
    if not all(bool(torch.isfinite(part).all()) for part in torch.split(x, rows)):
        finite = torch.isfinite(x)
        bad = torch.nonzero(~finite)
        row, rest = int(bad[0, 0]), tuple(bad[0, 1:].tolist())
        count = int((~finite).flatten(1).any(1).sum())
        raise InvalidInputError(
            f"{name} holds {float(x[tuple(bad[0])])} at row {row}, feature {rest}; {count} of "
            f"{x.shape[0]} rows are not finite. Remove or impute these rows first."
        )
    return x


def check_label(
    label: Tensor | None,
    rows: int,
    *,
    num_labels: int | None = None,
    name: str = "label",
    values: bool = True,
) -> Tensor | None:
    """Check labels where data enter: int64 or int32, shape ``batch``, in ``[0, num_labels)``.

    Smaller integers, as image files give them, are refused: torch takes uint8 for a mask where a
    tensor is indexed by it, and picks other rows without a word.

    Args:
        label: The labels, or None.
        rows: Number of rows.
        num_labels: Number of labels; any number from 0 on if not given.
        name: What the message calls them.
        values: Whether to look at the values, which waits for the device.

    Raises:
        InvalidTypeError: Not an integer tensor, or one of fewer than 32 bits.
        InvalidInputError: Wrong shape, or a label out of range (first position named).
    """
    if label is None:
        return None
    if not isinstance(label, Tensor) or label.dtype not in _INDICES:
        got = label.dtype if isinstance(label, Tensor) else type(label).__name__
        raise InvalidTypeError(
            f"{name} is an integer tensor of shape (batch,), int64 or int32; got {got}. Write "
            f"{name}.long(), and argmax(1) for one-hot labels."
        )
    if label.shape != (rows,):
        raise InvalidInputError(
            f"{name} has shape {tuple(label.shape)}, expected ({rows},): one label per row."
        )
    if not values:
        return label
    wrong = label < 0 if num_labels is None else (label < 0) | (label >= num_labels)
    if bool(wrong.any()):
        row = int(torch.nonzero(wrong)[0])
        limit = "0 or more" if num_labels is None else f"in 0..{num_labels - 1}"
        raise InvalidInputError(
            f"{name} is {int(label[row])} at row {row}; labels are {limit} "
            f"({int(wrong.sum())} of {rows} rows are out of range)."
        )
    return label


def batches(x: RowsLike, label: Tensor | None = None, *, size: int = 8192) -> Iterator[Batch]:
    """Iterate over a tensor in chunks of ``size``, or over an iterable of batches as it is."""
    if isinstance(x, Tensor):
        for start in range(0, x.shape[0], size):
            part = slice(start, start + size)
            yield Batch(x[part], None if label is None else label[part])
        return
    if label is not None:
        raise InvalidTypeError("give labels inside the batches when x is an iterable of batches.")
    for item in x:
        if isinstance(item, Batch):
            yield item
        elif isinstance(item, Tensor):
            yield Batch(item)
        else:
            yield Batch(item[0], item[1] if len(item) > 1 else None)


def collect(x: RowsLike, label: Tensor | None = None) -> Batch:
    """Gather an iterable of batches into one batch; a tensor is passed through."""
    if isinstance(x, Tensor):
        return Batch(x, label)
    parts = list(batches(x, label))
    if not parts:
        raise InvalidInputError(
            "the iterable of batches is empty. If it was a generator, it can be read only once: "
            "pass a list or a DataLoader."
        )
    labels = [part.label for part in parts if part.label is not None]
    return Batch(torch.cat([p.x for p in parts]), torch.cat(labels) if labels else None)


class _Checked:
    """An iterable of batches whose values are checked as they pass."""

    def __init__(
        self, source: RowsLike, num_labels: int | None, event_shape: tuple[int, ...] | None
    ) -> None:
        self.source = source
        self.num_labels = num_labels
        self.event_shape = event_shape

    def __iter__(self) -> Iterator[Batch]:
        for index, part in enumerate(batches(self.source)):
            name = f"x in batch {index}"
            check_rows(part.x, name=name, event_shape=self.event_shape)
            check_label(
                part.label,
                part.x.shape[0],
                num_labels=self.num_labels,
                name=f"label in batch {index}",
            )
            yield part


def checked(
    x: RowsLike,
    label: Tensor | None = None,
    *,
    num_labels: int | None = None,
    event_shape: tuple[int, ...] | None = None,
) -> RowsLike:
    """Check a tensor and its labels at once, or an iterable of batches as they pass.

    Raises:
        InvalidInputError: As ``check_rows`` and ``check_label``; also an iterator, which could be
            read only once.
    """
    if isinstance(x, Tensor):
        check_rows(x, event_shape=event_shape)
        check_label(label, x.shape[0], num_labels=num_labels)
        return x
    if isinstance(x, Iterator):
        raise InvalidInputError(
            "x is an iterator, which can be read only once, and fitting reads the data several "
            "times. Pass a list of batches or a DataLoader."
        )
    if not isinstance(x, Iterable):
        return check_rows(x)
    return _Checked(x, num_labels, event_shape)
