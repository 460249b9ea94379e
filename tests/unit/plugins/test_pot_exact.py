"""Exact transport: the optimum, a permutation, within labels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from precond_gm.couplings import REGISTRY
from precond_gm.errors import InvalidInputError
from precond_gm_pot import Exact

SOLVERS = ["simplex", "assignment"]


def rows(n: int, dim: int, seed: int) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def total(z0: Tensor, z1: Tensor) -> float:
    return float((z0 - z1).square().sum())


def sorted_rows(z: Tensor) -> Tensor:
    """Put rows into lexicographic order, to compare two sets of rows with repetitions."""
    return torch.from_numpy(np.array(sorted(map(tuple, z.flatten(1).tolist()))))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n", [2, 3, 5, 7])
def test_cost_is_the_least_of_all_permutations(solver: str, n: int) -> None:
    """Oracle: brute force over n! permutations. Tolerance: float64 sums."""
    z0, z1 = rows(n, 3, n), rows(n, 3, n + 50)
    best = min(total(z0[list(p)], z1) for p in itertools.permutations(range(n)))
    assert total(Exact(solver=solver).pair(z0, z1).z0, z1) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
@pytest.mark.parametrize("dim", [2, 16])
def test_cost_equals_scipy(solver: str, dim: int) -> None:
    """Oracle: scipy's assignment on a cost matrix made by numpy. Tolerance: float64 sums."""
    z0, z1 = rows(250, dim, 0), rows(250, dim, 1)
    cost = ((z0[:, None] - z1[None]) ** 2).sum(-1).numpy()
    best = cost[linear_sum_assignment(cost)].sum()
    assert total(Exact(solver=solver).pair(z0, z1).z0, z1) == pytest.approx(best, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 12),
    distinct=st.integers(1, 4),
    labels=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    solver=st.sampled_from(["auto", *SOLVERS]),
)
def test_noise_is_permuted_within_labels(
    n: int, distinct: int, labels: int, seed: int, solver: str
) -> None:
    """Oracle: the set of noise rows of each label, before and after; duplicates, ties, one row."""
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn(distinct, 2, generator=draw, dtype=torch.float64)
    z0 = values[torch.randint(distinct, (n,), generator=draw)]
    z1 = values[torch.randint(distinct, (n,), generator=draw)]
    label = torch.randint(labels, (n,), generator=draw)
    got = Exact(solver=solver).pair(z0, z1, label)
    assert torch.equal(got.z1, z1)
    assert torch.equal(got.label, label)
    for k in label.unique():
        before, after = z0[label == k], got.z0[label == k]
        assert torch.equal(sorted_rows(before), sorted_rows(after))
        assert total(after, z1[label == k]) <= total(before, z1[label == k]) + 1e-12


def test_an_early_stop_of_pot_is_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: scipy's cost; POT is stopped after one iteration, as its default is at 2048."""
    import ot

    solve = ot.emd

    def stopped(*args: object, numItermax: int, **options: object) -> object:
        return solve(*args, numItermax=1, **options)

    monkeypatch.setattr(ot, "emd", stopped)
    z0, z1 = rows(60, 2, 0), rows(60, 2, 1)
    with pytest.warns(RuntimeWarning, match="solved again as an assignment"):
        got = Exact(solver="simplex").pair(z0, z1)
    assert total(got.z0, z1) == pytest.approx(total(Exact(solver="assignment").pair(z0, z1).z0, z1))


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e25])
def test_float32_neither_overflows_nor_underflows(scale: float) -> None:
    """Oracle: the permutation of the same rows at scale 1."""
    z0, z1 = rows(40, 8, 0).float(), rows(40, 8, 1).float()
    plain, scaled = Exact().pair(z0, z1).z0, Exact().pair(z0 * scale, z1 * scale).z0
    torch.testing.assert_close(scaled, plain * scale)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    """Oracle: the error's text says what to do."""
    z1 = rows(4, 2, 0)
    z1[2, 1] = value
    with pytest.raises(InvalidInputError, match=r"not finite.*check_rows"):
        Exact().pair(rows(4, 2, 1), z1)


def test_wrong_shapes_and_options_are_refused() -> None:
    """Oracle: the error's text names what was got."""
    with pytest.raises(InvalidInputError, match=r"\(4, 2\) and \(3, 2\)"):
        Exact().pair(rows(4, 2, 1), rows(3, 2, 1))
    with pytest.raises(InvalidInputError, match="solver is one of"):
        Exact(solver="magic")
    with pytest.raises(InvalidInputError, match="label has shape"):
        Exact().pair(rows(4, 2, 1), rows(4, 2, 2), torch.zeros(3, dtype=torch.long))


def test_names_of_the_plugin() -> None:
    """Oracle: the entry points."""
    assert isinstance(REGISTRY.create("ot"), Exact)
    assert REGISTRY.create("pot.exact", within_label=False).label_aware is False
