"""One look for every figure: colours that colour-blind readers tell apart, light axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "DIVERGING",
    "GREY",
    "INK",
    "SEQUENTIAL",
    "array",
    "colour",
    "finish",
    "new_figure",
]

# Okabe and Ito (2008), reordered so that the first ones differ most in lightness as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#000000")
GREY = "#8A8F98"
INK = "#2B2F36"
SEQUENTIAL = "cividis"
DIVERGING = "PuOr_r"


def new_figure(
    rows: int = 1, cols: int = 1, size: tuple[float, float] | None = None
) -> tuple[Figure, Any]:
    """Return a figure without a window, and its array of axes, shape ``rows cols``.

    Args:
        rows: Rows of panels.
        cols: Columns of panels.
        size: Width and height in inches; 4.6 by 3.4 per panel by default.

    Example:
        >>> figure, axes = new_figure(1, 2)
        >>> axes.shape
        (1, 2)
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size or (4.6 * cols, 3.4 * rows), layout="constrained", dpi=110)
    axes = figure.subplots(rows, cols, squeeze=False)
    for ax in axes.flat:
        _soften(ax)
    return figure, axes


def colour(index: int) -> str:
    """Return the colour of series ``index``; the list is cycled."""
    return COLOURS[index % len(COLOURS)]


def array(values: Tensor | np.ndarray | list[float]) -> np.ndarray:
    """Return values as a numpy array, wherever the tensor lives."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def finish(ax: Axes, title: str, xlabel: str, ylabel: str, *, legend: bool = False) -> None:
    """Write title, axis labels and, where asked, a legend that hides nothing."""
    ax.set_title(title, fontsize=10, loc="left", color=INK)
    ax.set_xlabel(xlabel, fontsize=9, color=INK)
    ax.set_ylabel(ylabel, fontsize=9, color=INK)
    if legend:
        ax.legend(fontsize=8, frameon=False)


def _soften(ax: Axes) -> None:
    """Drop the frame's upper and right edges and put a light grid behind the data."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(GREY)
    ax.grid(visible=True, color="#E4E6EA", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=8, colors=INK)
