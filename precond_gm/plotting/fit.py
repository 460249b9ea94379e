"""Pictures of fits of preconditioners."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from precond_gm.plotting.style import COLOURS, GREY, INK, array, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_before_after", "plot_effect"]

NAMES = (("before", GREY), ("after", COLOURS[0]))


def plot_before_after(name: str, before: float, after: float) -> Figure:
    """Draw the condition number before and after a map, on a logarithmic axis.

    Args:
        name: Name of the map.
        before: Condition number of the rows.
        after: Condition number of their image.

    Returns:
        A figure that needs no display.
    """
    figure, axes = new_figure(size=(4.8, 2.2))
    ax = axes[0, 0]
    bars = ax.barh([name, "data"], [after, before], color=[COLOURS[0], GREY])
    ax.set_xscale("log")
    ax.set_xlim(left=0.8)
    ax.bar_label(bars, fmt="%.3g", padding=3)
    finish(ax, "", "condition number, largest over labels (held-out rows)", "")
    return figure


def plot_effect(
    title: str,
    t: Tensor,
    condition: tuple[Tensor, Tensor],
    spectra: tuple[Tensor, Tensor],
    rows: tuple[Tensor, Tensor],
) -> Figure:
    """Draw condition number against t, spectra, and rows along their two extreme directions.

    Args:
        title: Which map, on which rows.
        t: Times.
        condition: Condition numbers at these times, before and after.
        spectra: Eigenvalues at t = 1, descending, before and after.
        rows: Rows along the directions of largest and smallest variance, before and after.
    """
    figure, axes = new_figure(1, 4, size=(16, 3.8))
    for (name, shade), kappa, values in zip(NAMES, condition, spectra, strict=True):
        curve, spectrum = array(kappa), array(values)
        finite = np.where(np.isfinite(curve), curve, np.nan)
        worst = f"{name}: at most {_number(float(np.max(curve)))}"
        axes[0, 0].plot(array(t), finite, color=shade, linewidth=2, label=worst)
        rank = np.arange(1, len(spectrum) + 1)
        shown = np.where(spectrum > 0, spectrum, np.nan)
        mark = "o-" if len(spectrum) <= 64 else "-"
        axes[0, 1].plot(rank, shown, mark, color=shade, ms=3, linewidth=1.5, label=name)
    axes[0, 1].xaxis.get_major_locator().set_params(integer=True)
    for ax in axes[0, :2]:
        ax.set_yscale("log")
    ends = "t (0 noise, 1 data)"
    finish(axes[0, 0], "Condition number at t", ends, "largest / smallest", legend=True)
    finish(axes[0, 1], "Spectrum at t = 1", "direction", "variance", legend=True)
    for (name, shade), points, ax in zip(NAMES, rows, axes[0, 2:], strict=True):
        x, y = array(points).T
        ax.scatter(x, y, s=5, alpha=0.5, color=shade, linewidths=0)
        reach = 1.05 * float(np.abs(array(points)).max())
        ax.set_xlim(-reach, reach)
        ax.set_ylim(-reach, reach)
        ax.set_aspect("equal")
        finish(ax, f"Rows {name}", "direction of largest variance", "of smallest variance")
    figure.suptitle(title, fontsize=11, x=0.01, ha="left", color=INK)
    return figure


def _number(value: float) -> str:
    return f"{value:,.0f}" if 100 <= value < 1e8 else f"{value:.3g}"
