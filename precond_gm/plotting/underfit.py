"""Figure of an under-fit report: a map over t and direction, and what is explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from precond_gm.plotting.style import COLOURS, DIVERGING, array, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_excess", "plot_history", "plot_underfit"]

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


def plot_history(
    steps: Tensor, explained: Tensor, linear_explained: Tensor, directions: Tensor
) -> Figure:
    """Draw the explained share per direction over training, and the count of under-fitted ones.

    Args:
        steps: Steps of the observations.
        explained: Shape ``observations dim``, directions ascending.
        linear_explained: The same of the best linear predictor.
        directions: Number of under-fitted directions per observation.
    """
    from matplotlib import colormaps

    figure, axes = new_figure(1, 2, (10.5, 3.8))
    left, right = axes[0]
    step, gap = array(steps), array(linear_explained - explained)
    dim = gap.shape[1]
    shown = sorted({*np.linspace(0, dim - 1, min(dim, 8)).astype(int).tolist()}, reverse=True)
    for place, direction in enumerate(shown):
        shade = colormaps["cividis"](0.9 * place / max(len(shown) - 1, 1))
        label = f"direction {dim - direction} of {dim}"
        left.plot(step, gap[:, direction], ".-", color=shade, linewidth=1.2, label=label)
    left.axhline(0, color="black", linewidth=0.8)
    finish(
        left, "Behind an affine map by", "step", "explained share, linear - network", legend=True
    )
    right.plot(step, array(directions), "o-", color=COLOURS[1])
    right.set_ylim(bottom=0)
    finish(right, "Directions proved under-fitted", "step", f"number, of {dim}")
    return figure


def plot_excess(t: Tensor, excess: Tensor, left: Tensor) -> Figure:
    """Draw the excess risk against t and the share left per direction.

    Args:
        t: Times.
        excess: Shape ``times dim``, directions ascending.
        left: Share of each direction still to be learned.
    """
    figure, axes = new_figure(1, 2)
    axes[0, 0].plot(array(t), array(excess.sum(1)), ".-", color=COLOURS[0])
    axes[0, 0].set_yscale("log")
    finish(axes[0, 0], "Excess risk", "t (0 noise, 1 data)", "summed over directions")
    share = array(left)[::-1]
    axes[0, 1].plot(np.arange(1, share.size + 1), share, ".-", color=COLOURS[1])
    axes[0, 1].set_yscale("log")
    xlabel = "direction, largest variance first"
    finish(axes[0, 1], "Still to be learned", xlabel, "excess / signal")
    return figure
