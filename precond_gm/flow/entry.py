"""Where data enter a flow: what is remembered of them, and what is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError, InvalidTypeError, NotFittedError
from precond_gm.numerics.rows import RowsLike, batches
from precond_gm.paths.base import standard_normal
from precond_gm.values import Pairing

if TYPE_CHECKING:
    from precond_gm.flow.preconditioned import PreconditionedFlow

__all__ = ["network_call", "paired", "require_fitted", "see"]


def see(flow: PreconditionedFlow, x: RowsLike, label: Tensor | None) -> None:
    """Remember the event shape and the class frequencies of the training data."""
    counts = torch.zeros(flow.num_labels or 0, dtype=torch.float64)
    for part in batches(x, label):
        flow.event_shape = tuple(part.x.shape[1:])
        if flow.num_labels is not None and part.label is None:
            raise InvalidInputError(
                f"the flow was wrapped with num_labels={flow.num_labels}; give a label for "
                f"each row, or wrap without num_labels."
            )
        if flow.num_labels is not None and part.label is not None:
            counts += torch.bincount(part.label.cpu(), minlength=flow.num_labels)
    if flow.num_labels is not None:
        device = next((p.device for p in flow.parameters()), torch.device("cpu"))
        flow.label_frequency = (counts / counts.sum()).to(device)


def require_fitted(flow: PreconditionedFlow) -> None:
    """Check that the flow's map can be used.

    Raises:
        NotFittedError: It is not fitted.
    """
    if not flow.preconditioner.is_fitted:
        raise NotFittedError(
            f"the preconditioner {type(flow.preconditioner).__name__} is not fitted. Call "
            f"flow.fit_preconditioner(x, label) on the training data first."
        )


def paired(
    flow: PreconditionedFlow,
    x: Tensor | Pairing,
    label: Tensor | None,
    preconditioned: bool,
    generator: torch.Generator | None,
) -> Pairing:
    """Return the ends of a training step; only shapes and dtypes are looked at.

    Raises:
        InvalidTypeError: Not floating rows, nor a pairing.
        InvalidInputError: A wrong shape, or not one label per row.
    """
    if isinstance(x, Pairing):
        _check_shape(flow, x.z1)
        return x
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim < 2:
        got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise InvalidTypeError(
            f"loss takes a floating tensor of shape (batch, *event) or a Pairing; got {got}."
        )
    if label is not None and label.shape != (x.shape[0],):
        raise InvalidInputError(
            f"label has shape {tuple(label.shape)}, expected ({x.shape[0]},): one per row."
        )
    if preconditioned:
        z1 = x
    else:
        require_fitted(flow)
        with torch.no_grad():
            z1 = flow.preconditioner(x, label).value
    _check_shape(flow, z1)
    z0 = standard_normal(z1, generator)
    return flow.coupling.pair(z0, z1, label, generator=generator)


def _check_shape(flow: PreconditionedFlow, z: Tensor) -> None:
    """Check rows in z, against a fitted map where the flow itself has seen no data yet."""
    shape = flow.event_shape or flow.preconditioner.event_shape
    if shape is not None and tuple(z.shape[1:]) != tuple(shape):
        raise InvalidInputError(
            f"rows have shape {tuple(z.shape[1:])}, the flow was fitted on {tuple(shape)}."
        )


def network_call(
    flow: PreconditionedFlow,
    field: Callable[..., Tensor],
    t: Tensor,
    z: Tensor,
    label: Tensor | None,
) -> Tensor:
    """Call a network, and explain its refusal where rows and weights differ in precision.

    The call itself decides: a network may well convert its input, and nothing is looked at in a
    step that works.

    Raises:
        InvalidTypeError: The network refuses rows of another dtype than its weights.
    """
    try:
        return field(t, z, label)
    except RuntimeError as error:
        own = next((p.dtype for p in flow.field.parameters() if p.is_floating_point()), z.dtype)
        if own == z.dtype or isinstance(error, torch.OutOfMemoryError):
            raise
        name = str(own).removeprefix("torch.")
        raise InvalidTypeError(
            f"the rows are {str(z.dtype).removeprefix('torch.')}, the network's weights are "
            f"{name}, and the network refused: {error}. Write x.to(torch.{name}), or cast the "
            f"flow: flow.to({z.dtype})."
        ) from error
