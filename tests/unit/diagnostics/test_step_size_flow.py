"""The step-size study of a trained flow: distances to data, and a drift error that is bounded."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import precond_gm as pg
from precond_gm.diagnostics import step_size
from precond_gm.errors import InvalidInputError


def trained(preconditioner: str = "identity") -> tuple[pg.PreconditionedFlow, Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    label = torch.randint(0, 2, (600,), generator=source)
    x = torch.randn(600, 2, generator=source) * 0.3 + label[:, None] * 2.0
    torch.manual_seed(0)
    flow = pg.wrap(
        pg.models.MLP(2, num_labels=2, width=16, depth=2),
        preconditioner=preconditioner,
        path="brownian-bridge",
        num_labels=2,
    )
    flow.fit_preconditioner(x[:300], label[:300], generator=source)
    optimiser = torch.optim.Adam(flow.field.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        flow.loss(x[:300], label[:300], generator=source).total.backward()
        optimiser.step()
    return flow, x[300:], label[300:]


@pytest.mark.parametrize("preconditioner", ["identity", "whiten"])
def test_trained_flow(preconditioner: str) -> None:
    """A flow with labels: distances in data coordinates with their floor, the drift part bounded.

    Oracle for the bound: what a network that predicts nothing, E[z1], would be charged at least is
    the held-out loss itself; here only its sign and its statement are checked. The budget is 2.1.
    """
    flow, x, label = trained(preconditioner)
    found = step_size(flow, reference=(x, label), steps=(8, 16, 32, 64), num_samples=512, t_max=0.8)
    assert found.evaluations <= 2.1 + 0.3  # at least 64 rows of the process; 46 would be 9 %
    assert set(found.floors) == {"w2", "energy"}
    assert found.drift is not None
    assert bool((found.drift > 0).all())
    assert "held-out loss" in found.meaning["drift"]
    assert "own continuous process" in found.meaning["path_kl"]
    assert 0.5 < float(found.slopes["path_kl"]) < 1.5
    with pytest.raises(InvalidInputError, match="noise floor"):
        found.recommend(w2=found.floors["w2"] / 2)


def test_flow_without_reference() -> None:
    """Without data the study is about the step size alone, and says so."""
    flow, _, _ = trained()
    found = step_size(flow, steps=(8, 16, 32), num_samples=256, label=1)
    assert any("neither an exact law nor held-out data" in note for note in found.notes)
    assert any("in its last step" in note for note in found.notes)  # a coarse network at t = 1
    assert found.energy is None
