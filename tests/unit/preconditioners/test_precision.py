"""Rows of few bits, and models cast to few bits around a map."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from precond_gm.preconditioners import REGISTRY, Whiten

NAMES = [
    "whiten",
    "spectral",
    "low-rank",
    "logit+whiten",
    "sklearn.quantile",
    "zuko.bpf",
    "zuko.gf",
]
NAMES += ["zuko.cnf", "normflows.residual", "flow-matching"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NAMES)
def test_rows_of_few_bits_are_taken_as_float32(name: str, dtype: torch.dtype) -> None:
    """Oracle: the map of the same rows in float32, bit for bit."""
    x = torch.rand(200, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    images = []
    for rows in (x, x.float()):
        part = REGISTRY.resolve(name.split("+"))
        report = part.fit(rows, max_steps=2)
        images.append(part(rows).value)
        assert part.inverse(images[-1]).value.dtype is torch.float32
        assert report.round_trip_error < 1e-4
    assert torch.equal(*images)


def test_a_map_stays_in_float32_in_a_model_of_few_bits() -> None:
    """Oracle: the map before the cast; another device or float64 still reaches it."""
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    part = Whiten()
    part.fit(x)
    expected = part(x).value
    model = nn.ModuleList([part, nn.Linear(3, 3)]).to(torch.bfloat16)
    assert next(model[1].parameters()).dtype is torch.bfloat16
    assert torch.equal(part(x).value, expected)
    model.half()
    assert torch.equal(part(x).value, expected)
    model.double()
    assert part(x).value.dtype is torch.float64
