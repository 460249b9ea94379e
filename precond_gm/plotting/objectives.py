"""Figure of a comparison of objectives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from precond_gm.plotting.style import COLOURS, GREY, array, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_objectives"]


def plot_objectives(*, names: Sequence[str], noise: Tensor, low: Tensor, high: Tensor) -> Figure:
    """Draw the relative gradient noise of each objective, with its interval, smallest on top.

    An objective whose signal is not resolved is drawn as an arrow from its lower bound.

    Args:
        names: Names of the objectives.
        noise: Relative noise; NaN where the signal is not resolved.
        low: Lower ends of the intervals.
        high: Upper ends.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    known = np.isfinite(array(noise))
    order = np.argsort(-np.where(known, array(noise), array(low)))
    figure, axes = new_figure(1, 1, size=(7.0, 1.2 + 0.45 * len(names)))
    ax, places = axes[0, 0], np.arange(len(names))
    middle, below, above = array(noise)[order], array(low)[order], array(high)[order]
    known = known[order]
    ax.errorbar(
        middle[known],
        places[known],
        xerr=np.stack([middle - below, above - middle])[:, known],
        fmt="o",
        color=COLOURS[0],
        capsize=3,
    )
    if not known.all():
        ax.errorbar(
            below[~known],
            places[~known],
            xerr=below[~known] / 2,
            xlolims=True,
            fmt="|",
            color=GREY,
            capsize=3,
            label="signal not resolved: at least this",
        )
        ax.legend(fontsize=8)
    ax.set_yticks(places, [names[i] for i in order], fontsize=8)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    finish(ax, "Gradient noise, relative to the signal", "tr Cov(g) / |E g|^2 of a batch", "")
    return figure
