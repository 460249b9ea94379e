"""Figure of a quality report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from precond_gm.plotting.style import COLOURS, GREY, array, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_quality", "plot_recovery"]


def plot_quality(
    figures: Mapping[str, tuple[float, float, float, float]],
    recovery: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] | None = None,
) -> Figure:
    """Draw each figure on its own scale beside its noise floor, and the recovery.

    Args:
        figures: Name to (value, low, high, floor).
        recovery: Eigenvalue, ratio, low, high, floor of each direction, or None.
    """
    figure, axes = new_figure(1, 2 if recovery else 1, (10.5, 3.8) if recovery else (5.6, 3.8))
    _intervals(axes[0, 0], figures)
    if recovery is not None:
        plot_recovery(axes[0, 1], recovery)
    return figure


def plot_recovery(ax: Axes, recovery: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]) -> None:
    """Draw the variance ratio per direction, with its interval and data against data."""
    order = array(recovery[0]).argsort()  # held-out variances need not ascend exactly
    x, ratio, low, high, floor = (array(values)[order] for values in recovery)
    ax.fill_between(x, low, high, color=COLOURS[0], alpha=0.25, linewidth=0)
    ax.plot(x, ratio, ".-", color=COLOURS[0], markersize=3, linewidth=1, label="samples")
    ax.plot(x, floor, ".", color=GREY, markersize=3, label="data against data")
    ax.axhline(1, color="black", linewidth=0.8)
    ax.set_xscale("log")
    ax.set_yscale("log")
    xlabel = "variance of the data along the direction"
    finish(ax, "Recovery per direction", xlabel, "variance of samples / of data", legend=True)


def _intervals(ax: Axes, figures: Mapping[str, tuple[float, float, float, float]]) -> None:
    """Draw (figure - floor) over the interval's half width: comparable across units."""
    names = list(figures)
    for row, name in enumerate(names):
        value, low, high, floor = figures[name]
        half = max((high - low) / 2, 1e-12 * max(abs(value), 1e-300))
        centre = float(np.clip((value - floor) / half, -50, 50))
        ax.plot([centre - 1, centre + 1], [row, row], color=COLOURS[0], linewidth=2)
        ax.plot(centre, row, "o", color=COLOURS[0], markersize=4)
        ax.annotate(
            f"{value:.3g} (floor {floor:.3g})",
            (1.02, row),
            xycoords=("axes fraction", "data"),
            fontsize=7,
            va="center",
        )
    ax.axvline(0, color=GREY, linewidth=1)
    ax.set_xscale("symlog", linthresh=2)
    ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    ax.invert_yaxis()
    finish(ax, "Figures and 95 % intervals", "distance from the floor, in half intervals", "")
