"""Partial transport, and transport that pays for crossing labels."""

from __future__ import annotations

import itertools

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm_pot import Exact, LabelCost, Partial


def rows(n: int, dim: int, seed: int) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def per_pair(z0: Tensor, z1: Tensor) -> Tensor:
    return (z0 - z1).square().sum(1)


@pytest.mark.parametrize("paired", [1, 5, 13, 20])
def test_partial_cost_equals_pot(paired: int) -> None:
    """Oracle: POT's partial transport on the unscaled cost. Tolerance: float64 sums."""
    z0, z1 = rows(20, 2, 0), rows(20, 2, 1)
    got = Partial(paired / 20).pair(z0, z1)
    assert got.weight is not None
    cost = ((z1[:, None] - z0[None]) ** 2).sum(-1).numpy()
    uniform = np.full(20, 1 / 20)
    plan = ot.partial.partial_wasserstein(uniform, uniform, cost, m=paired / 20)
    mine = float((per_pair(got.z0, z1) * got.weight).mean()) * paired / 20
    assert mine == pytest.approx(float((plan * cost).sum()), rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 9), share=st.floats(0.05, 1.0), seed=st.integers(0, 1000))
def test_partial_uses_every_row_once(n: int, share: float, seed: int) -> None:
    """Oracle: the noise rows are permuted, and the right number has weight; one row, duplicates."""
    z0, z1 = rows(n, 1, seed).round(), rows(n, 1, seed + 1).round()
    got = Partial(share).pair(z0, z1)
    assert torch.equal(got.z0.sort(0).values, z0.sort(0).values)
    assert got.weight is not None
    assert int((got.weight > 0).sum()) == max(1, round(share * n))
    assert float(got.weight.mean()) == pytest.approx(1.0)


def cost_with_labels(z0: Tensor, z1: Tensor, label: Tensor, weight: float) -> np.ndarray:
    crosses = (label[:, None] != label[None]).double()
    return (((z1[:, None] - z0[None]) ** 2).sum(-1) + weight * crosses).numpy()


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0, 1e6])
def test_label_cost_is_the_least_of_all_permutations(weight: float) -> None:
    """Oracle: brute force over 7! permutations of the cost by hand. Tolerance: float64 sums."""
    z0, z1, label = rows(7, 2, 0), rows(7, 2, 1), torch.tensor([0, 1, 0, 2, 1, 0, 2])
    cost = cost_with_labels(z0, z1, label, weight)
    best = min(sum(cost[i, p[i]] for i in range(7)) for p in itertools.permutations(range(7)))
    got = LabelCost(weight=weight).pair(z0, z1, label).z0
    columns = [int((z0 == row).all(1).nonzero()[0]) for row in got]
    assert sum(cost[i, j] for i, j in enumerate(columns)) == pytest.approx(best, rel=1e-9)


def test_label_cost_lies_between_plain_and_within_labels() -> None:
    """Oracle: both limits: ratio 0 stays within labels' cost, weight 0 is plain transport."""
    z0, z1 = rows(60, 2, 0), rows(60, 2, 1)
    label = (z1[:, 0] > 0).long()
    total = {
        "plain": Exact(within_label=False).pair(z0, z1).z0,
        "zero": LabelCost(weight=0.0).pair(z0, z1, label).z0,
        "some": LabelCost(ratio=0.1).pair(z0, z1, label).z0,
        "huge": LabelCost(weight=1e9).pair(z0, z1, label).z0,
        "within": Exact().pair(z0, z1, label).z0,
    }
    cost = {name: float(per_pair(z, z1).sum()) for name, z in total.items()}
    assert cost["zero"] == pytest.approx(cost["plain"])
    assert cost["huge"] == pytest.approx(cost["within"])
    assert cost["plain"] < cost["some"] < cost["within"]


@pytest.mark.parametrize("ratio", [0.0, 0.02, 0.3])
def test_weight_meets_its_target(ratio: float) -> None:
    """Oracle: counting the pairs across labels that are cheaper than the pair as drawn."""
    z0, z1, label = rows(80, 3, 0), rows(80, 3, 1), torch.arange(80) % 4
    cost = torch.from_numpy(cost_with_labels(z0, z1, label, 0.0))
    crosses = label[:, None] != label[None]
    weight = LabelCost(ratio=ratio).weight_of(cost, crosses)
    cheaper = (cost + weight < cost.diagonal()[:, None])[crosses]
    assert float(cheaper.double().mean()) == pytest.approx(ratio, abs=1 / int(crosses.sum()))


def test_one_label_alone_is_plain_transport() -> None:
    """Oracle: no pair crosses, so the weight does not matter."""
    z0, z1, label = rows(20, 2, 0), rows(20, 2, 1), torch.zeros(20, dtype=torch.long)
    assert torch.equal(LabelCost().pair(z0, z1, label).z0, Exact().pair(z0, z1).z0)


def test_bad_input_is_refused() -> None:
    """Oracle: the error's text says what to do."""
    with pytest.raises(InvalidInputError, match=r"needs the label of each data row.*Pass label="):
        LabelCost().pair(rows(3, 2, 0), rows(3, 2, 1))
    with pytest.raises(InvalidInputError, match="ratio is in"):
        LabelCost(ratio=1.0)
    with pytest.raises(InvalidInputError, match="weight is 0 or more"):
        LabelCost(weight=-1.0)
    with pytest.raises(InvalidInputError, match="share is a number in"):
        Partial(0.0)
