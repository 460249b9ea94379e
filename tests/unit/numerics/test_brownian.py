"""One path, many grids: sums, bridges, antithetic pairs, and their laws."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.brownian import Brownian
from precond_gm.solvers import EulerMaruyama, grids, integrate

LIKE = torch.zeros(4, 3, dtype=torch.float64)


def _draw(steps: int, seed: int = 0, **options: bool) -> Brownian:
    source = torch.Generator().manual_seed(seed)
    return Brownian.draw(grids.uniform(steps), LIKE, generator=source, **options)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(2, 5), st.integers(0, 1000))
def test_coarsening_undoes_refining(coarse: int, factor: int, seed: int) -> None:
    """Along each path. Oracle: the old increments. Tolerance: rounding of sums."""
    path = _draw(coarse, seed)
    fine = path.refine(grids.uniform(coarse * factor), generator=torch.Generator().manual_seed(1))
    assert fine.increments.shape == (coarse * factor, 4, 3)
    back = fine.coarsen(path.times)
    torch.testing.assert_close(back.increments, path.increments, rtol=1e-12, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=8, unique=True))
def test_coarsening_is_associative(cuts: list[int]) -> None:
    """Two coarsenings are one. Oracle: the direct one."""
    path = _draw(32)
    middle = path.times[torch.tensor(sorted({0, 32, *cuts}))]
    ends = path.times[[0, 32]]
    twice = path.coarsen(middle).coarsen(ends)
    torch.testing.assert_close(twice.increments, path.coarsen(ends).increments)


def test_values_are_the_path() -> None:
    """B(0) = 0 and B(1) is the coarsest increment. Oracle: coarsen."""
    path = _draw(16)
    assert torch.equal(path.values()[0], torch.zeros_like(LIKE))
    end = path.coarsen(path.times[[0, 16]]).increments[0]
    torch.testing.assert_close(path.values()[-1], end)


def test_refined_increments_have_the_law_of_drawn_ones() -> None:
    """Variance h and no correlation, on an uneven grid. Tolerance: 5 standard errors.

    Oracle: the covariance of Brownian increments.
    """
    like = torch.zeros(40_000, 1, dtype=torch.float64)
    source = torch.Generator().manual_seed(3)
    path = Brownian.draw(torch.tensor([0.0, 0.3, 1.0]), like, generator=source)
    uneven = torch.tensor([0.0, 0.05, 0.3, 0.4, 0.8, 1.0], dtype=torch.float64)
    uneven[2] = path.times[1]
    fine = path.refine(uneven, generator=source)
    white = fine.increments[..., 0] / uneven.diff().sqrt()[:, None]
    error = (white @ white.T / 40_000 - torch.eye(5)) * 40_000**0.5 / 2**0.5
    assert float(error.abs().max()) < 5


def test_antithetic_pairs_stay_pairs() -> None:
    """The second half mirrors the first, also after refining. Oracle: the definition."""
    path = _draw(4, antithetic=True)
    fine = path.refine(grids.uniform(12), generator=torch.Generator().manual_seed(0))
    for increments in (path.increments, fine.increments, fine.coarsen(path.times).increments):
        torch.testing.assert_close(increments[:, 2:], -increments[:, :2])
    with pytest.raises(InvalidInputError, match="even number of rows; got 3"):
        Brownian.draw(grids.uniform(4), LIKE[:3], antithetic=True)


def test_the_loop_takes_a_path() -> None:
    """A path and its increments are the same noise; another grid is refused. Oracle: increments."""
    path = _draw(8)

    def run(noise: object, steps: int = 8) -> torch.Tensor:
        return integrate(
            lambda t, z, label=None: -z,
            EulerMaruyama(),
            grids.uniform(steps),
            LIKE + 1,
            diffusion=1.0,
            noise=noise,
        ).final

    assert torch.equal(run(path), run(path.increments))
    assert run(path.coarsen(grids.uniform(4)), 4).shape == LIKE.shape
    with pytest.raises(InvalidInputError, match=r"another grid \(8 steps\) than times \(4 steps\)"):
        run(path, 4)


def test_grids_that_are_not_nested_are_refused() -> None:
    """Oracle: the error's text."""
    path = _draw(4)
    with pytest.raises(InvalidInputError, match="not a part of the present one"):
        path.coarsen(grids.uniform(3))
    with pytest.raises(InvalidInputError, match="lacks a time"):
        path.refine(grids.uniform(6))
    short = _draw(4).coarsen(torch.tensor([0.0, 0.25, 0.5]))
    with pytest.raises(InvalidInputError, match="stays within"):
        short.refine(grids.uniform(4))
    with pytest.raises(InvalidInputError, match="two of its times"):
        path.coarsen(torch.tensor([0.0, 0.5, 0.5]))


def test_grids_that_do_not_increase_are_refused() -> None:
    """Their increments were NaN, or sums of nothing. Oracle: the error's text."""
    path, down = _draw(4), torch.tensor([1.0, 0.5, 0.0])
    with pytest.raises(InvalidInputError, match=r"increasing numbers; got \[1.0, 0.5, 0.0\]. Sort"):
        Brownian.draw(down, LIKE)
    with pytest.raises(InvalidInputError, match="increasing numbers"):
        path.refine(grids.uniform(8).flip(0))
    with pytest.raises(InvalidInputError, match="have to increase"):
        path.coarsen(down)
