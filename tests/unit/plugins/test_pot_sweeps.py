"""What entropic couplings are made of: costs, groups of labels, sweeps and their shortcuts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from precond_gm_pot import entropic, kernel
from precond_gm_pot.cost import ends_of, mean_cost
from precond_gm_pot.groups import groups_of
from precond_gm_pot.kernel import Kernel


def rows(n: int, dim: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=draw, dtype=torch.float64)


def test_costs_are_squared_distances() -> None:
    """Oracle: differences, squared and summed; the common scale is taken out."""
    z0, z1 = rows(5, 3, 0), rows(5, 3, 1)
    ends, expected = ends_of(z0, z1 + 3), ((z1 + 3)[:, None] - z0).square().sum(2).numpy()
    whole, constant = ends.cost * ends.scale**2, ends.gap.square().sum()
    np.testing.assert_allclose(whole.numpy(), expected, rtol=1e-10)
    whole = (ends.cost_but_constant + constant) * ends.scale**2
    np.testing.assert_allclose(whole.numpy(), expected, rtol=1e-10)
    mean = mean_cost(ends.cost[None], torch.full((1, 5), 0.2, dtype=z0.dtype)) * ends.scale**2
    np.testing.assert_allclose(float(mean), expected.mean(), rtol=1e-10)


@pytest.mark.parametrize("many", [1, 5])
def test_groups_hold_every_row_once(many: int) -> None:
    """Oracle: counting; weights sum to one, and padding at most doubles a label if many."""
    label = (torch.randint(9, (200,), generator=torch.Generator().manual_seed(0)) ** 2 // 9).repeat(
        many
    )
    groups = groups_of(label, torch.zeros(200 * many, 1))
    every = torch.cat([some.index[some.weight > 0] for some in groups])
    assert sorted(every.tolist()) == list(range(200 * many))
    assert (len(groups) == 1) == (many == 1)
    for some in groups:
        torch.testing.assert_close(some.weight.sum(1), torch.ones(len(some.counts)))
        assert many == 1 or some.index.shape[1] < 2 * min(some.counts)


def sweeps_needed(slowest: float, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, int]:
    """Return the plan of a cold problem, and its sweeps, under a bound on the length of a step."""
    monkeypatch.setattr(kernel, "SLOWEST", slowest)
    z0, z1 = rows(60, 2, 0), rows(60, 2, 1)
    cost, weight = torch.cdist(z1, z0).square()[None], torch.full((1, 60), 1 / 60).double()
    found, sweeps = entropic.to_tolerance(
        cost, weight, 0.04 * cost.mean((1, 2)), tolerance=1e-9, max_sweeps=20_000
    )
    return found.log_plan(cost, weight).softmax(2), sweeps


def test_longer_steps_find_the_same_plan_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: plain sweeps. Tolerance: the stopping rule, 1e-9, over what a slow rate leaves."""
    plain, many = sweeps_needed(0.0, monkeypatch)
    longer, few = sweeps_needed(0.99, monkeypatch)
    torch.testing.assert_close(longer, plain, atol=1e-5, rtol=0)
    assert few < many / 2


def test_best_shifts_find_the_same_plan_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: sweeps without them. Tolerance: the stopping rule over what their rate leaves."""
    cost = (rows(128, 64, 0)[:, None] - rows(128, 64, 1)).square().sum(2)[None]
    weight, unit = torch.full_like(cost[:, 0], 1 / 128), cost.mean((1, 2))

    def solve() -> tuple[Tensor, int]:
        found, sweeps = entropic.to_tolerance(
            cost, weight, unit / 20, tolerance=1e-6, max_sweeps=5000, rho=unit
        )
        return found.log_plan(cost, weight), sweeps

    shifted, few = solve()
    monkeypatch.setattr(Kernel, "_best_shift", lambda kernel: 0 * kernel._potentials)
    plain, many = solve()
    torch.testing.assert_close(shifted, plain, atol=1e-4, rtol=0)
    assert few <= 20 < 2 * few < many


@pytest.mark.parametrize("rho", [None, 0.5])
def test_arrays_and_tensors_are_swept_alike(
    rho: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the same costs as tensors; float64, so the order of sums is all that differs."""
    cost = torch.cdist(rows(30, 3, 0), rows(30, 3, 1)).square()[None]
    weight, epsilon = torch.full((1, 30), 1 / 30).double(), torch.tensor([0.1]).double()
    price = None if rho is None else torch.tensor([rho]).double()
    found = []
    for most in (0, 10**6):
        monkeypatch.setattr(entropic, "MOST_ENTRIES", most)
        found.append(
            entropic.to_tolerance(cost, weight, epsilon, tolerance=1e-6, max_sweeps=500, rho=price)
        )
    (tensors, some), (arrays, same) = found
    assert some == same
    torch.testing.assert_close(tensors.column, arrays.column, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(tensors.row, arrays.row, rtol=1e-9, atol=1e-9)
