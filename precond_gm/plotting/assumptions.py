"""Figure of an assumptions report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from precond_gm.plotting.style import COLOURS, GREY, array, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_assumptions"]


def plot_assumptions(
    *, norms: Tensor, index: float, gap: Tensor | None, score: Tensor | None
) -> Figure:
    """Draw the survival of the norm with its fitted tail, and the score's norm near the data.

    Args:
        norms: Norms of the rows, decreasing.
        index: Tail index.
        gap: Distances to t = 1, or None.
        score: Eighth root of the eighth moment of the score's norm there.
    """
    figure, axes = new_figure(1, 1 if score is None or gap is None else 2)
    ax, x = axes[0, 0], array(norms)
    share = np.arange(1, len(x) + 1) / len(x)
    ax.plot(x, share, color=COLOURS[0], label="rows")
    count = math.isqrt(len(x))
    if math.isfinite(index):
        tail = x[: count + 1]
        ax.plot(
            tail,
            count / len(x) * (tail / x[count]) ** -index,
            color=COLOURS[1],
            linestyle="--",
            label=f"tail of index {index:.3g}",
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    finish(ax, "Tail of the data", "|z - mean|", "share of rows beyond", legend=True)
    if gap is not None and score is not None:
        ax, x, y = axes[0, 1], array(gap), array(score)
        ax.plot(x, y, color=COLOURS[0], marker="o", label="network")
        ax.plot(
            x, y[0] * (x / x[0]) ** -0.5, color=GREY, linestyle=":", label="no density: slope -1/2"
        )
        ax.set_xscale("log")
        ax.set_yscale("log")
        finish(ax, "Score near the data", "1 - t", "(E|score|^8)^(1/8)", legend=True)
    return figure
