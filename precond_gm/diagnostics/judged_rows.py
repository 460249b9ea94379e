"""The rows that a network is judged on: in z, shuffled, labelled as in training, and paired."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from precond_gm.diagnostics.conditioning import check_times
from precond_gm.errors import InvalidInputError
from precond_gm.flow import PreconditionedFlow
from precond_gm.numerics.noise import standard_normal
from precond_gm.numerics.rows import RowsLike, batches, check_label, check_rows, collect
from precond_gm.values import Batch, Pairing

__all__ = [
    "LEAST_ROWS",
    "check_margin",
    "draw_pairs",
    "every_other",
    "inner_times",
    "rows_in_z",
    "warn_without_labels",
    "without_labels",
]

LEAST_ROWS = 8
_PAIRED_AT_ONCE = 256


def rows_in_z(
    flow: PreconditionedFlow,
    x: RowsLike,
    label: Tensor | None,
    most: int | None,
    generator: torch.Generator,
    *,
    preconditioned: bool = False,
) -> Batch:
    """Return rows in z, shuffled, at most ``most`` of them; ``preconditioned`` rows are z already.

    Raises:
        InvalidInputError: NaN, another event shape than the flow's, fewer than 8 rows, labels for
            some rows only or out of range.
        NotFittedError: The preconditioner is not fitted.
    """
    if most is not None and most < LEAST_ROWS:
        raise InvalidInputError(
            f"max_rows is at least {LEAST_ROWS}, the fewest rows that a network is judged on; "
            f"got {most}."
        )
    batch = _together(x, label)
    if batch.x.shape[0] < LEAST_ROWS:
        raise InvalidInputError(
            f"a network is judged on at least {LEAST_ROWS} rows; got {batch.x.shape[0]}. "
            f"Give more rows."
        )
    check_label(batch.label, batch.x.shape[0], num_labels=flow.num_labels)
    order = torch.randperm(batch.x.shape[0], generator=generator, device=generator.device)
    order = order[:most].to(batch.x.device)
    some = None if batch.label is None else batch.label[order]
    if preconditioned:
        check_rows(batch.x, event_shape=flow.event_shape)
        return Batch(batch.x[order], some)
    return Batch(flow.precondition(batch.x[order], some), some)


def without_labels(num_labels: int) -> str:
    """Return what to say of a flow with labels that is judged without: legal, seldom meant."""
    return (
        f"the flow was wrapped with num_labels={num_labels}, and is judged without labels: by "
        f"what its network says when no label is given, which means nothing unless it was trained "
        f"so too. Give the label of each row."
    )


def warn_without_labels(flow: PreconditionedFlow, rows: Batch) -> None:
    """Warn the caller's caller that a flow with labels is judged without."""
    if rows.label is None and flow.num_labels is not None:
        warnings.warn(without_labels(flow.num_labels), UserWarning, stacklevel=3)


def check_margin(margin: float) -> None:
    """Check the share of the residual that is forgiven.

    Raises:
        InvalidInputError: Negative, NaN or infinite.
    """
    if not 0 <= margin < math.inf:
        raise InvalidInputError(
            f"margin is the share of an affine map's residual that is forgiven, finite and 0 or "
            f"more; got {margin}. The default is 0.05."
        )


def _together(x: RowsLike, label: Tensor | None) -> Batch:
    """Gather batches; labels belong to all of them or to none."""
    if isinstance(x, Tensor):
        return Batch(x, label)
    parts = list(batches(x, label))
    if len({part.label is None for part in parts}) > 1:
        bare = [index for index, part in enumerate(parts) if part.label is None]
        raise InvalidInputError(
            f"{len(bare)} of {len(parts)} batches carry no label (first: batch {bare[0]}), the "
            f"others do. Give a label for each row, or for none."
        )
    return collect(parts)


def inner_times(flow: PreconditionedFlow, times: int | Tensor) -> Tensor:
    """Return times as given, or the midpoints of equal parts of ``[0, flow.t_max]``.

    The ends themselves are left out: at t = 1 the data are seen as they are, and some targets are
    known exactly there.

    Raises:
        InvalidInputError: No times, or times outside [0, 1].
    """
    if not isinstance(times, Tensor):
        if times < 1:
            raise InvalidInputError(f"times is a number of at least 1 or a tensor; got {times}.")
        return (torch.arange(times, dtype=torch.float64) + 0.5) / times * flow.t_max
    return check_times(times)


def draw_pairs(flow: PreconditionedFlow, rows: Batch, generator: torch.Generator) -> Pairing:
    """Pair every data row with noise, in batches of a usual size."""
    z1, label, parts = rows.x, rows.label, []
    for start in range(0, z1.shape[0], _PAIRED_AT_ONCE):
        part = slice(start, start + _PAIRED_AT_ONCE)
        z0 = standard_normal(z1[part], generator)
        some = None if label is None else label[part]
        parts.append(flow.coupling.pair(z0, z1[part], some, generator=generator))
    labels = [part.label for part in parts if part.label is not None]
    weights = [part.weight for part in parts if part.weight is not None]
    return Pairing(
        torch.cat([part.z0 for part in parts]),
        torch.cat([part.z1 for part in parts]),
        torch.cat(labels) if labels else None,
        torch.cat(weights) if weights else None,
    )


def every_other(pairs: Pairing, first: int) -> Pairing:
    """Return the pairs in every other place from ``first`` on: half of shuffled pairs."""
    part = slice(first, None, 2)
    label = None if pairs.label is None else pairs.label[part]
    weight = None if pairs.weight is None else pairs.weight[part]
    return Pairing(pairs.z0[part], pairs.z1[part], label, weight)
