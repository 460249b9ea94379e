"""Figures of grids and of what they cost: every series is drawn, time runs to the right."""

from __future__ import annotations

import torch

from precond_gm.plotting.bridges import plot_grid_cost
from precond_gm.plotting.step_grids import plot_step_grids


def test_every_curve_is_drawn() -> None:
    """Oracle: the number of curves given, and the axes' scales."""
    x = torch.tensor([0.5, 0.1])
    curves = {(grid, p): (x, x) for grid in ("uniform", "geometric") for p in ("a", "b")}
    figure = plot_grid_cost(curves, curves, curves)
    assert [len(ax.lines) for ax in figure.axes] == [4, 4, 4]
    assert all(ax.get_xscale() == ax.get_yscale() == "log" for ax in figure.axes)
    assert figure.axes[1].xaxis_inverted()
    assert not figure.axes[0].xaxis_inverted()


def test_every_grid_is_drawn() -> None:
    """Oracle: the marks are the times given."""
    grids = {"even": torch.linspace(0, 1, 5), "late": torch.linspace(0, 1, 5).sqrt()}
    marks, sizes = plot_step_grids(grids).axes
    assert [list(line.get_xdata()) for line in marks.lines] == [g.tolist() for g in grids.values()]
    assert [len(line.get_xdata()) for line in sizes.lines] == [4, 4]
    assert [text.get_text() for text in marks.get_yticklabels()] == ["even", "late"]
