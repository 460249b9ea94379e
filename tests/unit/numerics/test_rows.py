"""Checks of rows and labels where data enter."""

from __future__ import annotations

import pytest
import torch

from precond_gm.errors import InvalidTypeError
from precond_gm.numerics.rows import check_label
from precond_gm.preconditioners import Identity, Whiten

SMALL = [torch.uint8, torch.int8, torch.int16, torch.bool]


@pytest.mark.parametrize("dtype", SMALL)
def test_small_integers_are_refused_where_labels_enter(dtype: torch.dtype) -> None:
    """A tensor indexed by uint8 is masked. Oracle: the message, with the cast to write."""
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    label = torch.arange(40) % 2
    small = label.to(dtype)
    part = Whiten()
    with pytest.raises(InvalidTypeError, match=r"int64 or int32; got torch\..*label\.long\(\)"):
        part.fit(x, small)
    part.fit(x, label)
    for call in (part, part.inverse, Identity()):
        with pytest.raises(InvalidTypeError, match=r"Write label\.long\(\)"):
            call(x[:2], small[:2])


def test_int32_labels_are_int64_labels() -> None:
    """Oracle: the map of int64 labels, bit for bit."""
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    label = torch.arange(40) % 2
    parts = Whiten(), Whiten()
    for part, own in zip(parts, (label, label.int()), strict=True):
        part.fit(x, own)
    assert torch.equal(parts[0](x, label).value, parts[1](x, label.int()).value)


def test_values_are_looked_at_only_if_asked() -> None:
    """Oracle: a label out of range passes where looking would wait for the device."""
    label = torch.tensor([9])
    assert check_label(label, 1, num_labels=3, values=False) is label
