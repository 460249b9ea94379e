"""Early stopping: the error against delta, with exact values."""

from __future__ import annotations

import json

import pytest
import torch

from precond_gm.closed_form import GaussianBridge, PointMassBridge
from precond_gm.diagnostics.early_stopping import early_stopping
from precond_gm.errors import InvalidInputError
from precond_gm.solvers import grids

DELTAS = (0.01, 0.1, 0.3)


@pytest.mark.parametrize("bridge", [PointMassBridge(0.0), GaussianBridge(0.0, 1.0, 0.5, 0.01)])
def test_exact_values(bridge: PointMassBridge | GaussianBridge) -> None:
    """Path KL, W2 to the law at the end, and W2 to the target against closed forms, 4.5 errors."""
    found = early_stopping(bridge, deltas=DELTAS, steps=16, num_samples=512)
    target = bridge.marginal(1.0)
    for i, delta in enumerate(found.delta.tolist()):
        times = grids.uniform(16, 1 - delta)
        law = bridge.euler_maruyama_law(times)
        exact = {
            "path_kl": bridge.path_kl(times),
            "step_part": bridge.w2(times),
            "w2": law.w2(target),
        }
        for name, value in exact.items():
            gap = float(getattr(found, name)[i] - value)
            assert abs(gap) < 4.5 * float(found.standard_errors[name][i]) + 1e-6, name
        assert float(found.stop_part[i]) == pytest.approx(
            float(bridge.marginal(1 - delta).w2(target)), rel=1e-9
        )


def test_trade_off() -> None:
    """Closer to the data the path divergence rises and the stopping part falls. Oracle: theory."""
    found = early_stopping(PointMassBridge(0.0), deltas=DELTAS, steps=16, num_samples=256)
    assert found.path_kl is not None
    assert found.stop_part is not None
    assert bool((found.path_kl.diff() < 0).all())
    assert bool((found.stop_part.diff() > 0).all())
    assert found.best == 0.01
    assert json.dumps(found.to_dict())
    assert len(found.plot().axes) == 2
    assert found.as_metrics()["early_stopping/best_delta"] == 0.01


def test_held_out_rows_as_target() -> None:
    """A callable with data: W2 has a floor, and its parts are not known."""
    bridge = GaussianBridge(0.0, torch.eye(2), 0.0, 0.3 * torch.eye(2))
    rows = bridge.marginal(1.0).sample(400, generator=torch.Generator().manual_seed(0))
    found = early_stopping(
        lambda t, z, label=None: bridge(t, z), reference=rows, deltas=(0.05, 0.5), steps=8,
        num_samples=256,
    )  # fmt: skip
    assert found.floor is not None
    assert found.stop_part is None
    assert found.best == 0.05


def test_bad_input() -> None:
    """No target, or deltas that are none."""
    with pytest.raises(InvalidInputError, match="needs a target"):
        early_stopping(lambda t, z, label=None: -z, source=torch.zeros(4, 1))
    for deltas in ((), (0.0,), (1.0,), (0.1, 2.0)):
        with pytest.raises(InvalidInputError, match="numbers in"):
            early_stopping(PointMassBridge(0.0), deltas=deltas)
