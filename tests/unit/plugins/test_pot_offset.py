"""Couplings of rows far from the origin, in float32, against the same rows moved back."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from precond_gm.couplings import REGISTRY
from precond_gm_pot import LabelCost, Semidiscrete

OFFSET = 1e4
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("ot", {}),
    ("ot", {"solver": "simplex"}),
    ("label-cost", {}),
    ("label-cost", {"weight": 0.5}),
    ("pot.partial", {"share": 0.7}),
    ("pot.unbalanced", {"rho": 0.5}),
    ("pot.sinkhorn", {}),
    ("pot.sinkhorn", {"epsilon": 0.5, "relative": False}),
    ("pot.sinkhorn", {"epsilon": 0.02, "pairs": "round"}),
    ("gibbs-weighted", {}),
]


def rows(n: int, dim: int, seed: int) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def far_and_near(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return rows in float32 far from the origin, and what they are without the offset, exactly."""
    far = rows(n, 3, seed) + OFFSET
    return far, far.double() - OFFSET


def check_alike(name: str, options: dict[str, Any], far: Any, near: Any, label: Tensor) -> None:
    """Compare plans, or else pairs and weights; float64 has digits to spare for the offset."""
    part = REGISTRY.create(name, **options)
    if hasattr(part, "plan"):
        found, right = part.plan(*far), part.plan(*near)
        torch.testing.assert_close(found.conditional.double(), right.conditional, atol=2e-3, rtol=0)
        if right.mass is not None:
            torch.testing.assert_close(found.mass.double(), right.mass, atol=2e-3, rtol=0)
        return
    got, want = part.pair(*far, label), part.pair(*near, label)
    drawn = torch.cdist(got.z0.double(), far[0].double()).argmin(1)
    right = torch.cdist(want.z0, near[0]).argmin(1)
    assert torch.equal(drawn, right)
    if want.weight is not None:
        torch.testing.assert_close(got.weight.double(), want.weight, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_a_common_offset_changes_nothing(name: str, options: dict[str, Any]) -> None:
    """Oracle: the same rows, moved back exactly, in float64. Tolerance: the stopping rule."""
    (far0, near0), (far1, near1) = far_and_near(60, 0), far_and_near(60, 1)
    check_alike(name, options, (far0, far1), (near0, near1), torch.arange(60) % 3)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_data_far_from_the_noise(name: str, options: dict[str, Any]) -> None:
    """Oracle: the same rows in float64, where their squares of 1e8 leave eight digits."""
    far = rows(60, 3, 0), rows(60, 3, 1) + OFFSET
    check_alike(name, options, far, (far[0].double(), far[1].double()), torch.arange(60) % 3)


def test_one_label_far_from_the_origin_costs_the_optimum() -> None:
    """Oracle: exact transport in float64, less the offset; within rounding of the data, 5e-4."""
    noise, data = rows(200, 4, 0), rows(200, 4, 1) + OFFSET
    label = torch.zeros(200, dtype=torch.long)
    near = data.double() - OFFSET
    best = REGISTRY.create("ot").pair(noise.double(), near).z0
    for weight in (None, 0.0, 3.0, math.inf):
        got = LabelCost(weight=weight).pair(noise, data, label).z0
        cost, least = ((z.double() - near).square().sum(1).mean() for z in (got, best))
        assert float(cost) == pytest.approx(float(least), rel=1e-6)


def test_an_infinite_label_cost_is_transport_within_labels() -> None:
    """Oracle: exact transport within labels; infinity times no crossing is no NaN."""
    noise, data, label = rows(40, 2, 0), rows(40, 2, 1) * 3, torch.arange(40) % 4
    within = REGISTRY.create("ot").pair(noise, data, label).z0
    assert torch.equal(LabelCost(weight=math.inf).pair(noise, data, label).z0, within)


def test_a_semidiscrete_fit_far_from_the_origin() -> None:
    """Oracle: the fit of the same points moved back; noise is N(0, I) in both, so potentials agree.

    Tolerance: float32 rounding of the ascent; nearly all noise rows choose the same point.
    """
    far, near = far_and_near(30, 0)
    parts = [Semidiscrete(steps=200) for _ in range(2)]
    for part, points in zip(parts, (far, near.float()), strict=True):
        part.fit(points, generator=torch.Generator().manual_seed(0))
    assert parts[0].misfit[-1] == pytest.approx(parts[1].misfit[-1], abs=0.01)
    noise = rows(4000, 3, 2)
    got, want = (part.pair(noise, noise).z1.double() for part in parts)
    assert float(((got - OFFSET) == want).all(1).double().mean()) > 0.995


@pytest.mark.parametrize("name", ["ot", "pot.sinkhorn", "pot.unbalanced", "pot.partial"])
def test_squares_that_would_overflow_are_said(name: str) -> None:
    """Oracle: the warning; entries of 1e18 have finite squares and raise none."""
    part = REGISTRY.create(name)
    with pytest.warns(RuntimeWarning, match="squared distances overflow in torch.float32"):
        part.pair(rows(8, 2, 0), rows(8, 2, 1) * 1e20)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e18])
def test_squares_that_do_not_overflow_are_not(scale: float) -> None:
    """Oracle: no warning."""
    REGISTRY.create("ot").pair(rows(8, 2, 0), rows(8, 2, 1) * scale)
