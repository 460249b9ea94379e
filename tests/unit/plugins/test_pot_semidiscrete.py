"""Semidiscrete transport against what is known of it."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from torch import Tensor

from precond_gm.errors import CheckpointError, InvalidInputError, NotFittedError
from precond_gm_pot import Exact, Semidiscrete


def gen(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(n: int, dim: int, seed: int) -> Tensor:
    return torch.randn(n, dim, generator=gen(seed))


def fitted(points: Tensor, label: Tensor | None = None, steps: int = 600) -> Semidiscrete:
    coupling = Semidiscrete(steps)
    coupling.fit(points, label, generator=gen(0))
    return coupling


def test_cells_on_the_line_are_quantiles() -> None:
    """Oracle: in one dimension, transport is monotone: N equal cells of N(0, 1), in order.

    Tolerance: at 8 points, 2 % of the noise falls on the wrong side of a boundary.
    """
    points = torch.tensor([[3.0], [-1.0], [0.2], [5.0], [-4.0], [1.0], [0.0], [-2.0]])
    noise = rows(4000, 1, 1)
    got = fitted(points, steps=1500).pair(noise, torch.zeros(4000, 1)).z1
    cell = (8 * torch.special.ndtr(noise)).long().clamp(0, 7)
    exact = points.sort(0).values[cell[:, 0]]
    assert float((got == exact).double().mean()) > 0.95


def test_every_point_is_drawn_equally_often() -> None:
    """Oracle: frequencies 1/N; the misfit that is reported, on other noise, and its own size."""
    points = rows(60, 16, 0) * torch.linspace(0.2, 2, 16) + 1
    coupling = fitted(points)
    assert abs(coupling.misfit[-1]) < 0.02
    got = coupling.pair(rows(30_000, 16, 9), points[:1].expand(30_000, 16)).z1
    hits = (got[:, None, :2] == points[None, :, :2]).all(2).double().mean(0)
    assert float(60 * hits.square().sum() - 1) < 0.03


def test_pairs_are_nearer_than_a_minibatch_makes_them() -> None:
    """Oracle: transport to the whole set is cheaper than exact transport in batches of 32."""
    points = rows(512, 4, 0) + 1
    coupling = fitted(points)
    noise = rows(512, 4, 5)
    whole = coupling.pair(noise, points)
    batches = [Exact().pair(noise[k : k + 32], points[k : k + 32]) for k in range(0, 512, 32)]
    batched = torch.cat([(p.z0 - p.z1).square().sum(1) for p in batches]).mean()
    assert float((whole.z0 - whole.z1).square().sum(1).mean()) < float(batched)


def test_labels_choose_among_their_own_points() -> None:
    """Oracle: the label of every returned point, unequal counts and a label of one point."""
    points, label = rows(31, 3, 0), torch.tensor([0] * 20 + [1] * 10 + [4])
    coupling = fitted(points, label, steps=100)
    asked = torch.tensor([4, 0, 1, 1, 0, 4])
    got = coupling.pair(rows(6, 3, 1), torch.zeros(6, 3), asked)
    for row, name in zip(got.z1, asked.tolist(), strict=True):
        assert name in label[(points == row).all(1)].tolist()
    assert set(coupling.misfit) == {0, 1, 4}


def test_the_state_is_saved_and_reloaded() -> None:
    """Oracle: equal pairs before and after; the same generator gives the same fit."""
    points = rows(20, 2, 0)
    coupling, again = fitted(points, steps=50), Semidiscrete()
    again.load_state_dict(coupling.state_dict())
    noise = rows(30, 2, 1)
    like = torch.zeros(30, 2)
    assert torch.equal(coupling.pair(noise, like).z1, again.pair(noise, like).z1)
    assert torch.equal(
        fitted(points, steps=50).state_dict()["potentials"], coupling.state_dict()["potentials"]
    )
    assert not again.needs_fit


def test_bad_input_is_refused() -> None:
    """Oracle: the errors' texts say what to do."""
    noise, label = rows(4, 2, 0), torch.zeros(4, dtype=torch.long)
    with pytest.raises(NotFittedError, match=r"Call fit\(z1, label\)"):
        Semidiscrete().pair(noise, noise)
    plain, labelled = fitted(noise, steps=5), fitted(noise, label, steps=5)
    with pytest.raises(InvalidInputError, match="fitted with no labels and the batch has labels"):
        plain.pair(noise, noise, label)
    with pytest.raises(InvalidInputError, match="fitted with labels and the batch has none"):
        labelled.pair(noise, noise)
    with pytest.raises(InvalidInputError, match=r"the batch holds \[1\]"):
        labelled.pair(noise, noise, label + 1)
    with pytest.raises(InvalidInputError, match=r"rows of shape \(2,\); got \(3,\)"):
        plain.pair(rows(4, 3, 0), rows(4, 3, 1))
    with pytest.raises(CheckpointError, match="lacks misfit, points"):
        plain.load_state_dict({"potentials": noise, "label": label})
    with pytest.raises(InvalidInputError, match="steps is a whole number from 1 on"):
        Semidiscrete(0)


def test_a_poor_fit_is_said() -> None:
    """Oracle: one step from far away cannot be right, and the warning says how far off it is."""
    points = torch.cat([rows(20, 2, 0), rows(20, 2, 1) * 8])
    with pytest.warns(RuntimeWarning, match="above the tolerance 0.5. Fit with more steps than 1"):
        fitted(points, steps=1)


def test_one_point_and_equal_points() -> None:
    """Oracle: the only point there is; finite potentials for identical points."""
    one = torch.full((1, 2), math.pi)
    assert torch.equal(fitted(one, steps=3).pair(rows(3, 2, 0), rows(3, 2, 1)).z1, one.expand(3, 2))
    same = fitted(one.repeat(5, 1), steps=3)
    assert torch.isfinite(same.state_dict()["potentials"]).all()
    assert same.misfit[-1] == pytest.approx(0.0)


@pytest.mark.filterwarnings("error")
def test_equal_rows_are_one_point_with_their_mass() -> None:
    """Oracle: frequencies of nine distinct points among 200 rows, by counting; no warning.

    Tolerance: 0.02 in each frequency, over six standard errors of 30,000 draws and a fit.
    """
    points = rows(9, 2, 0)[torch.randint(9, (200,), generator=gen(1))]
    coupling = fitted(points)
    assert len(coupling.state_dict()["points"]) == 9
    assert abs(coupling.misfit[-1]) < 0.05
    noise = rows(30_000, 2, 2)
    got = coupling.pair(noise, noise).z1
    for point in points.unique(dim=0):
        asked = float((points == point).all(1).double().mean())
        found = float((got == point).all(1).double().mean())
        assert found == pytest.approx(asked, abs=0.02)


def test_zeros_of_either_sign_are_equal() -> None:
    """Oracle: one point."""
    assert len(fitted(torch.tensor([[0.0, 1.0], [-0.0, 1.0]]), steps=3).state_dict()["points"]) == 1


def test_a_state_saved_in_another_order_is_loaded() -> None:
    """Oracle: states were saved in the order of the data, with equal rows kept; the same pairs."""
    points, label = rows(40, 3, 0), torch.arange(40) % 3
    coupling, old = fitted(points, label, steps=50), Semidiscrete()
    state = coupling.state_dict()
    order = torch.randperm(40, generator=gen(1))
    shuffled = {name: state[name][order] for name in ("points", "label", "potentials")}
    old.load_state_dict({**shuffled, "misfit": state["misfit"]})
    noise, asked = rows(60, 3, 2), torch.arange(60) % 3
    assert torch.equal(coupling.pair(noise, noise, asked).z1, old.pair(noise, noise, asked).z1)


def test_pairing_copies_no_point_that_it_does_not_choose() -> None:
    """Oracle: the memory of each label's points is that of the saved ones, also when unpickled."""
    points, label = rows(40, 3, 0), torch.arange(40) % 2
    coupling = fitted(points, label, steps=60)
    parts = coupling._on(torch.device("cpu"))
    assert parts is coupling._on(torch.device("cpu"))
    start = coupling.state_dict()["points"].data_ptr()
    assert [kept.data_ptr() - start for kept, _ in parts.values()] == [0, 20 * 3 * 4]
    again, noise = pickle.loads(pickle.dumps(coupling)), rows(6, 3, 1)
    asked = torch.arange(6) % 2
    assert torch.equal(again.pair(noise, noise, asked).z1, coupling.pair(noise, noise, asked).z1)
