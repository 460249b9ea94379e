"""Any coupling, applied within each label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from precond_gm.couplings.around import AbstractAround
from precond_gm.errors import InvalidInputError
from precond_gm.values import Pairing

__all__ = ["WithinLabel", "check_pair", "pair_within_label"]


def check_pair(z0: Tensor, z1: Tensor, label: Tensor | None) -> None:
    """Check that the ends of a batch belong together (shapes only, no value is read).

    Raises:
        InvalidInputError: Different shapes, no rows, or another number of labels than rows.
    """
    if z0.shape != z1.shape or z0.ndim < 2 or z0.shape[0] == 0:
        raise InvalidInputError(
            f"a coupling takes noise and data of the same shape (batch, *event), one row at least; "
            f"got {tuple(z0.shape)} and {tuple(z1.shape)}. Draw one noise row for each data row."
        )
    if label is not None and label.shape != (z1.shape[0],):
        raise InvalidInputError(
            f"label has shape {tuple(label.shape)}, expected ({z1.shape[0]},): one per data row."
        )


def pair_within_label(
    pair: Callable[[Tensor, Tensor, Tensor | None], Pairing],
    z0: Tensor,
    z1: Tensor,
    label: Tensor | None,
) -> Pairing:
    """Pair the rows of each label among themselves, then put them back in their places.

    Noise row i belongs to the label of data row i: noise is drawn without looking at labels, so
    within each label it keeps its law whatever ``pair`` does with it there.

    Args:
        pair: Pairs the rows of one label; its result has as many rows.
        z0: Noise, shape ``batch *event``.
        z1: Data, of the same shape.
        label: Label of each data row; None pairs all rows together.
    """
    if label is None:
        return pair(z0, z1, None)
    order = torch.argsort(label, stable=True)
    counts = torch.unique(label, return_counts=True)[1].tolist()
    groups = (torch.split(rows.index_select(0, order), counts) for rows in (z0, z1, label))
    parts = [pair(*group) for group in zip(*groups, strict=True)]
    back = torch.argsort(order)
    z0, z1 = torch.cat([part.z0 for part in parts]), torch.cat([part.z1 for part in parts])
    weight = None
    if any(part.weight is not None for part in parts):
        equal = torch.ones_like(label, dtype=z1.dtype)
        weights = [equal[: len(p.z1)] if p.weight is None else p.weight for p in parts]
        weight = torch.cat(weights)[back]
    return Pairing(z0.index_select(0, back), z1.index_select(0, back), label, weight)


@final
@dataclass(frozen=True)
class WithinLabel(AbstractAround):
    """Apply another coupling within each label, which makes it label-aware.

    A plain transport plan between a whole batch and its noise lets a label choose its noise: the
    law of the noise within a label is no longer N(0, I), yet sampling starts from N(0, I).

    Args:
        inner: The coupling to apply to the rows of each label; a name or ``(name, options)`` is
            resolved, so that recipes can say it.

    References:
        2503.10636, section 3: the skew of the conditional prior.

    Example:
        >>> import torch
        >>> WithinLabel("independent").pair(torch.zeros(2, 1), torch.ones(2, 1)).label is None
        True
    """

    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        """Pair the rows of each label with the inner coupling."""
        check_pair(z0, z1, label)

        def inner(z0: Tensor, z1: Tensor, label: Tensor | None) -> Pairing:
            return self.inner.pair(z0, z1, label, generator=generator)

        return pair_within_label(inner, z0, z1, label)
