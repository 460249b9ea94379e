"""Figure of an under-fit report: a map over t and direction, and what is explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from precond_gm.plotting.style import COLOURS, DIVERGING, array, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_underfit"]

_MOST_RATIO = 10.0  # colours saturate where the network errs ten times as much


def plot_underfit(
    *,
    t: Tensor,
    ratio: Tensor,
    underfitted: Tensor,
    explained: Tensor,
    linear_explained: Tensor,
) -> Figure:
    """Draw the network's error over the linear predictor's, dots where it is proved too large.

    Args:
        t: Times.
        ratio: Network error over linear error, shape ``times dim``, directions ascending.
        underfitted: Cells that are proved under-fitted.
        explained: Share of the target's variance the network explains.
        linear_explained: Share that the best linear predictor explains.
    """
    from matplotlib.colors import LogNorm

    figure, axes = new_figure(1, 2, (10.5, 3.8))
    left, right = axes[0]
    time, flagged = array(t), array(underfitted).astype(bool)
    rank = np.arange(1, flagged.shape[1] + 1)
    values = np.ma.masked_invalid(array(ratio)[:, ::-1].T)
    mesh = left.pcolormesh(
        time,
        rank,
        np.ma.clip(values, 1 / _MOST_RATIO, _MOST_RATIO),
        norm=LogNorm(1 / _MOST_RATIO, _MOST_RATIO),
        cmap=DIVERGING,
        shading="nearest",
    )
    left.grid(visible=False)
    rows, columns = np.nonzero(flagged[:, ::-1].T)
    left.plot(time[columns], rank[rows], ".", color="black", markersize=2)
    left.invert_yaxis()
    figure.colorbar(mesh, ax=left, label="network error / linear error")
    title = f"Under-fitted cells (dots): {int(flagged.sum())} of {flagged.size}"
    finish(left, title, "t (0 noise, 1 data)", "direction, largest variance first")
    for share, colour, label in (
        (explained, COLOURS[0], "network"),
        (linear_explained, COLOURS[1], "best linear predictor"),
    ):
        mean = np.nanmean(array(share)[:, ::-1], axis=0)
        right.plot(rank, mean, color=colour, linewidth=1.5, label=label)
    right.set_ylim(max(-0.5, right.get_ylim()[0]), 1.02)
    xlabel = "direction, largest variance first"
    finish(right, "Share of the target explained, mean over t", xlabel, "share", legend=True)
    return figure
