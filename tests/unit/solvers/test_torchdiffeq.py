"""The adaptive solver: tolerance, interval, refusals."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import precond_gm as pg
from precond_gm.closed_form import BinaryBridge
from precond_gm.errors import InvalidInputError, NonFiniteError
from precond_gm.solvers import REGISTRY, grids, integrate


def test_error_follows_the_tolerance() -> None:
    """Tighter tolerances cost more and give less error. Oracle: exp(-1)."""
    z0 = torch.ones(3, 2, dtype=torch.float64)
    seen: list[float] = []

    def decay(t: torch.Tensor, z: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        seen.append(float(t[0]))
        return -z

    results = []
    for tolerance in (1e-3, 1e-9):
        solver = REGISTRY.create("torchdiffeq.dopri5", rtol=tolerance, atol=tolerance)
        run = integrate(decay, solver, grids.uniform(2, 0.9), z0)
        results.append((float((run.final - torch.tensor(-0.9).double().exp()).abs().max()), run))
    (loose, few), (tight, many) = results
    assert tight < 1e-8 < loose < 1e-2
    assert many.num_evals > few.num_evals
    assert 0 <= min(seen) <= max(seen) <= 0.9  # never outside the interval


FIELDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bits": BinaryBridge(dim=2).velocity,
    "still at first": lambda t, z: 30 * t[:, None] ** 3 * torch.sin(z),
    "constant": lambda t, z: torch.full_like(z, 1e-3),
    "zero": lambda t, z: 0 * z,
    "steep": lambda t, z: -200 * z,
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3", "adaptive_heun"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_nothing_is_asked_outside_the_step(field: str, method: str, dtype: torch.dtype) -> None:
    """A slope that is small at first invites a long trial step. Oracle: the times of the grid."""
    times, seen = grids.uniform(6, 0.9), [0.0]
    z0 = torch.randn(64, 2, generator=torch.Generator().manual_seed(0), dtype=dtype)

    def watched(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        seen.append(float(t.max()))
        return FIELDS[field](t, z)

    solver = REGISTRY.create("torchdiffeq.dopri5", method=method, rtol=1e-3, atol=1e-3)
    integrate(watched, solver, times, z0)
    assert max(seen) <= float(torch.tensor(0.9, dtype=dtype))
    assert all(float(t.to(dtype)) <= max(seen) for t in times[:-1])


def test_no_network_is_asked_beyond_the_data() -> None:
    """A fresh network gives small slopes; the first step then looked at t = 40. Oracle: t <= 1."""
    flow, seen = pg.wrap(pg.models.MLP(2, width=8), event_shape=(2,)), [0.0]

    def watched(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        seen.append(float(t.max()))
        return 1e-3 * flow.field(t, z, label)

    flow.sample(16, steps=4, solver="torchdiffeq.dopri5", field=watched)
    assert 0.99 < max(seen) <= 1.0


def test_the_start_is_evaluated_once() -> None:
    """Oracle: a slope of zero needs the start, the trial and one step of six stages, per step."""
    calls = integrate(
        lambda t, z, label=None: 0 * z,
        REGISTRY.create("torchdiffeq.dopri5"),
        grids.uniform(1),
        torch.ones(1, 1),
    ).num_evals
    assert (calls - 2) % 6 == 0


def test_singular_velocity_is_named() -> None:
    """A velocity that blows up at 1. Oracle: the error's text."""
    solver = REGISTRY.create("torchdiffeq.dopri5")
    with pytest.raises(NonFiniteError, match="cannot get from t = 0 to 1"):
        integrate(
            lambda t, z, label=None: z / (1 - t[:, None]) ** 2,
            solver,
            grids.uniform(1),
            torch.ones(1, 1),
        )


def test_bad_options() -> None:
    """Oracle: the error's text."""
    with pytest.raises(InvalidInputError, match="adaptive methods are"):
        REGISTRY.create("torchdiffeq.dopri5", method="rk4")
    with pytest.raises(InvalidInputError, match="tolerances are positive"):
        REGISTRY.create("torchdiffeq.dopri5", rtol=0.0)
