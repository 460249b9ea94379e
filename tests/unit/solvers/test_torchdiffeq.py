"""The adaptive solver: tolerance, interval, refusals."""

from __future__ import annotations

import pytest
import torch

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
