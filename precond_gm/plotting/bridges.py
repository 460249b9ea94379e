"""Figure of what grids cost on a singular target: KL against steps and stopping time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from precond_gm.plotting.style import array, colour, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_grid_cost"]

_LINES = ("-", "--", ":", "-.")

Curve = tuple[Tensor, Tensor]


def plot_grid_cost(
    against_steps: Mapping[tuple[str, str], Curve],
    against_delta: Mapping[tuple[str, str], Curve],
    needed: Mapping[tuple[str, str], Curve],
) -> Figure:
    """Draw three panels; a key is (grid, parameter): colour by grid, line style by parameter.

    Args:
        against_steps: KL against the number of steps, one curve per grid and delta.
        against_delta: KL against delta, one curve per grid and number of steps.
        needed: Steps for a KL level against delta, one curve per grid and level.
    """
    figure, axes = new_figure(1, 3, size=(14.5, 4.8))
    panels = (
        (against_steps, "More steps", "steps", "KL(target || generated)"),
        (against_delta, "Closer to the data", "delta = 1 - last time", "KL(target || generated)"),
        (needed, "Steps that a KL level needs", "delta = 1 - last time", "steps"),
    )
    for ax, (curves, title, xlabel, ylabel) in zip(axes[0], panels, strict=True):
        names = list(dict.fromkeys(grid for grid, _ in curves))
        styles = list(dict.fromkeys(parameter for _, parameter in curves))
        for (grid, parameter), (x, y) in curves.items():
            ax.loglog(
                array(x),
                array(y),
                color=colour(names.index(grid)),
                linestyle=_LINES[styles.index(parameter) % len(_LINES)],
                linewidth=1.8,
                label=f"{grid}, {parameter}",
            )
        if xlabel != "steps":
            ax.invert_xaxis()  # time runs to the right in every figure
        finish(ax, title, xlabel, ylabel)
        ax.legend(
            fontsize=8, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.18)
        )
    return figure
