"""zuko's flows as preconditioners."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from precond_gm.preconditioners import REGISTRY, Whiten


def banana(rows: int = 3000) -> tuple[Tensor, Tensor]:
    """Two bent laws: whitening cannot make them normal, a flow can."""
    draw = torch.Generator().manual_seed(0)
    u = torch.randn(rows, 2, generator=draw)
    label = torch.arange(rows) % 2
    sign = 2.0 * label - 1
    return torch.stack([u[:, 0], 0.3 * u[:, 1] + sign * u[:, 0].square()], 1), label


@pytest.mark.parametrize("name", ["zuko.realnvp", "zuko.nsf"])
def test_better_than_whitening_on_a_bent_law(name: str) -> None:
    """Oracle: the exact entropy bound: no map exceeds the true log-density, whitening stays below.

    True mean log-density: -(1 + log 2 pi) - log 0.3 = -1.634; margin for 300 held-out rows: 0.3.
    """
    x, label = banana()
    flow = REGISTRY.create(name, max_steps=250, learning_rate=5e-3)
    report = flow.fit(x, label, generator=torch.Generator().manual_seed(0))
    plain = Whiten().fit(x, label)
    assert plain.log_likelihood + 0.3 < report.log_likelihood < -1.634 + 0.3
    assert report.condition_after < 3
    assert report.round_trip_error < 1e-4


def test_labels_are_used_and_needed() -> None:
    """Oracle: the two bananas bend in opposite directions, so a wrong label is less likely."""
    x, label = banana(1000)
    flow = REGISTRY.create("zuko.realnvp", max_steps=60)
    flow.fit(x, label)
    right, wrong = flow(x, label), flow(x, 1 - label)
    likelihood = [
        (-0.5 * image.value.square().sum(1) + image.log_abs_det).mean() for image in (right, wrong)
    ]
    assert likelihood[0] > likelihood[1]


def test_rows_beyond_the_box_are_counted_and_carried() -> None:
    """A spline is the identity beyond 5 deviations. Oracle: the identity for the round trip."""
    x, _ = banana(1000)
    x[::20] *= 40
    flow = REGISTRY.create("zuko.nsf", max_steps=5)
    report = flow.fit(x)
    assert any("beyond the box of 5 deviations" in note for note in report.notes)
    back = flow.inverse(flow(x).value).value
    torch.testing.assert_close(back, x, rtol=1e-4, atol=1e-3)


def test_autocast_does_not_reach_the_flow() -> None:
    """Oracle: the map without autocast, bit for bit."""
    x, label = banana(300)
    flow = REGISTRY.create("zuko.realnvp", max_steps=5)
    flow.fit(x, label)
    expected = flow(x, label).value
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(flow(x, label).value, expected)
        assert flow.inverse(expected, label).value.dtype == torch.float32


def test_one_feature() -> None:
    """Coupling needs two features; with one the layers act on their own. Oracle: the identity."""
    x = torch.randn(300, 1, generator=torch.Generator().manual_seed(0)).exp()
    for name in ("zuko.realnvp", "zuko.nsf"):
        flow = REGISTRY.create(name, max_steps=5)
        flow.fit(x)
        torch.testing.assert_close(flow.inverse(flow(x).value).value, x, rtol=1e-4, atol=1e-4)
