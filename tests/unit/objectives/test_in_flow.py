"""Objectives inside a flow: every registered part trains, and state is saved with the flow."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

import precond_gm as pg
from precond_gm.errors import IncompatiblePartsError, InvalidInputError

REAL = ("squared", "mahalanobis", "huber")


def flow_with(**settings: object) -> pg.PreconditionedFlow:
    torch.manual_seed(0)
    return pg.wrap(pg.models.MLP(3, width=8, depth=1), event_shape=3, **settings)


def trained(flow: pg.PreconditionedFlow, device: torch.device, steps: int = 3) -> torch.Tensor:
    flow.to(device)
    g = torch.Generator(device).manual_seed(0)
    x = torch.randn(32, 3, device=device, generator=g)
    optimiser = torch.optim.Adam(flow.parameters(), lr=1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        total = flow.loss(x, generator=g).total
        total.backward()
        optimiser.step()
    return total.detach()


@pytest.mark.filterwarnings("ignore::precond_gm.errors.ObjectiveWarning")
@pytest.mark.parametrize(
    "settings",
    [
        *({"divergence": name} for name in REAL),
        *({"weight": name} for name in pg.weights.REGISTRY.names()),
        *({"time_law": name} for name in pg.time_laws.REGISTRY.names()),
    ],
    ids=lambda s: "-".join(map(str, s.values())),
)
@pytest.mark.parametrize("path", ["linear", "brownian-bridge"])
def test_every_part_trains(settings: dict, path: str, device: torch.device) -> None:
    """Oracle: three steps on the device at hand give a finite loss and finite weights."""
    flow = flow_with(path=path, prediction="x1", **settings)
    assert bool(torch.isfinite(trained(flow, device)))
    assert all(bool(torch.isfinite(p).all()) for p in flow.parameters())


def test_state_of_adaptive_parts_is_saved_with_the_flow(tmp_path: Path) -> None:
    """Oracle: weight and law of the loaded flow equal those of the trained one, at 9 times."""
    flow = flow_with(weight="variance-equalising", time_law=("adaptive", {"bins": 8}))
    trained(flow, torch.device("cpu"))
    pg.save(flow, tmp_path / "flow.pt")
    other = pg.load(tmp_path / "flow.pt")
    t = torch.linspace(0.1, 0.9, 9)
    c = flow.path.coefficients(t)
    assert torch.equal(other.objective.weight(t, c), flow.objective.weight(t, c))
    assert torch.equal(other.objective.time_law.density(), flow.objective.time_law.density())
    assert other.objective.time_law.statistics.bins == 8


def test_learned_weight_is_trained_by_the_flows_optimiser() -> None:
    """Oracle: it is among the flow's parameters, moves, and a deep copy has its own."""
    flow = flow_with(weight="learned")
    twin = copy.deepcopy(flow)
    trained(flow, torch.device("cpu"))
    assert float(flow.objective.weight.coefficients.detach().abs().sum()) > 0
    assert float(twin.objective.weight.coefficients.detach().abs().sum()) == 0


def test_strict_refuses_what_wrap_warns_of() -> None:
    """Oracle: the issue: wrap warns for singular cells, strict=True refuses."""
    with pytest.warns(UserWarning, match="aligned alternative"):
        flow_with(prediction="x1", loss_space="velocity")
    with pytest.raises(IncompatiblePartsError, match="aligned alternative"):
        flow_with(prediction="x1", loss_space="velocity", strict=True)


def test_sampling_stops_where_training_was_cut() -> None:
    """Oracle: theory.md section 4: a cut at t_max is sound only if sampling stops there too."""
    flow = pg.wrap(
        pg.models.MLP(2, width=8), path="brownian-bridge", prediction="drift", event_shape=2
    )
    with pytest.raises(InvalidInputError, match=r"ends at t = 1, but drift .*up to t = 0\.999"):
        flow.sample(3, steps=4, t_max=1.0)
    with pytest.raises(InvalidInputError, match=r"after t_max = 0\.999"):
        flow.sample(3, grid=torch.linspace(0, 1, 5))
