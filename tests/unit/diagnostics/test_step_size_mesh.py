"""The union of time grids on which one Brownian path serves every step size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from precond_gm.diagnostics.step_size.mesh import Mesh, exact_times
from precond_gm.errors import InvalidInputError
from precond_gm.solvers import grids

COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=6, unique=True)
NAMES = st.sampled_from(["uniform", "edm", "shifted"])


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.data())
def test_every_grid_is_on_the_mesh(counts: list[int], data: st.DataObject) -> None:
    """A union contains its parts. Oracle: set identity, up to the 1e-9 that counts as one time."""
    family = [grids.make(data.draw(NAMES), max(n, 2)) for n in counts]
    mesh = Mesh.union(family)
    assert all(b > a for a, b in zip(mesh.times, mesh.times[1:], strict=False))
    times = torch.tensor(mesh.times, dtype=torch.float64)
    for grid, at in zip(family, mesh.at, strict=True):
        assert torch.allclose(times[list(at)], grid, atol=1e-9, rtol=0)


@settings(max_examples=25, deadline=None)
@given(COUNTS)
def test_steps_add_up(counts: list[int]) -> None:
    """The steps that begin on the mesh add up to the interval. Oracle: identity, to 1e-12."""
    mesh = Mesh.union([grids.uniform(n) for n in counts])
    total = [0.0] * len(counts)
    for starting in mesh.starting.values():
        for s, h in starting:
            total[s] += h
    assert total == pytest.approx([1.0] * len(counts), abs=1e-12)
    assert mesh.ending == {len(mesh.times) - 1: list(range(len(counts)))}
    assert mesh.finest == max(range(len(counts)), key=lambda s: counts[s])


def test_exact_times_resolve_the_end() -> None:
    """The last gap before 1 is the 1e-4 that narrow targets need, however few steps are asked."""
    times = exact_times(8, 1.0).sort().values
    assert float(1 - times[-2]) == pytest.approx(1e-4, rel=0.1)
    mesh = Mesh.union([grids.uniform(4, 0.5)], exact_times(8, 0.5))
    assert mesh.times[-1] == 0.5  # nothing beyond the last grid


def test_different_starts_are_refused() -> None:
    """One source law is at one time; the message says what to do."""
    with pytest.raises(InvalidInputError, match="Start all of them at 0"):
        Mesh.union([torch.tensor([0.0, 1.0]), torch.tensor([0.1, 1.0])])


def test_times_closer_than_rounding_are_refused() -> None:
    """Two times within 1e-9 cannot be told apart on the mesh."""
    with pytest.raises(InvalidInputError, match="rounding"):
        Mesh.union([torch.tensor([0.0, 0.5, 0.5 + 1e-11, 1.0], dtype=torch.float64)])
