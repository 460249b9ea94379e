"""Figure of a comparison of objectives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from precond_gm.plotting.style import COLOURS, array, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_objectives"]


def plot_objectives(*, names: Sequence[str], noise: Tensor, low: Tensor, high: Tensor) -> Figure:
    """Draw the relative gradient noise of each objective, with its interval, smallest on top.

    Args:
        names: Names of the objectives.
        noise: Relative noise.
        low: Lower ends of the intervals.
        high: Upper ends.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    order = np.argsort(-array(noise))
    figure, axes = new_figure(1, 1, size=(7.0, 1.2 + 0.45 * len(names)))
    ax, places = axes[0, 0], np.arange(len(names))
    middle, below, above = array(noise)[order], array(low)[order], array(high)[order]
    ax.errorbar(
        middle,
        places,
        xerr=np.stack([middle - below, above - middle]),
        fmt="o",
        color=COLOURS[0],
        capsize=3,
    )
    ax.set_yticks(places, [names[i] for i in order], fontsize=8)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    finish(ax, "Gradient noise, relative to the signal", "tr Cov(g) / |E g|^2 of a batch", "")
    return figure
