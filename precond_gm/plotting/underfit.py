"""Figure of an under-fit report: a map over t and direction, and what is explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from precond_gm.plotting.style import COLOURS, DIVERGING, GREY, array, colour, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_excess", "plot_histories", "plot_history", "plot_maps", "plot_underfit"]

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
    figure, axes = new_figure(1, 2, (10.5, 3.8))
    left, right = axes[0]
    flagged = array(underfitted).astype(bool)
    rank = np.arange(1, flagged.shape[1] + 1)
    mesh = _draw_map(left, array(t), array(ratio), flagged)
    figure.colorbar(mesh, ax=left, label="network error / linear error")
    title = f"Under-fitted cells (dots): {int(flagged.sum())} of {flagged.size}"
    finish(left, title, "t (0 noise, 1 data)", "direction, largest variance first")
    for index, (share, label) in enumerate(
        ((explained, "network"), (linear_explained, "best linear predictor"))
    ):
        mean = np.nanmean(array(share)[:, ::-1], axis=0)
        right.plot(rank, mean, color=colour(index), linewidth=1.5, label=label)
    right.set_ylim(max(-0.5, right.get_ylim()[0]), 1.02)
    xlabel = "direction, largest variance first"
    finish(right, "Share of the target explained, mean over t", xlabel, "share", legend=True)
    return figure


def plot_maps(maps: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw the map over t and direction of several networks, a panel each, on one scale.

    Args:
        maps: ``t``, ``ratio`` and ``underfitted`` (rows over t, directions ascending) by name.
    """
    figure, axes = new_figure(1, len(maps), (3.6 * len(maps) + 0.8, 3.3))
    for ax, (name, found) in zip(axes[0], maps.items(), strict=True):
        ratio = np.array([[np.nan if v is None else float(v) for v in r] for r in found["ratio"]])
        flagged = np.array(found["underfitted"], dtype=bool)
        mesh = _draw_map(ax, np.array(found["t"], dtype=float), ratio, flagged)
        title = f"{name}: {int(flagged.any(0).sum())} of {flagged.shape[1]} directions"
        finish(ax, title, "t (0 noise, 1 data)", "")
    axes[0, 0].set_ylabel("direction, largest variance first", fontsize=9)
    figure.colorbar(mesh, ax=axes[0, -1], label="network error / affine error")
    return figure


def plot_histories(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw what was learned of the smallest directions over training, every seed of each variant.

    Args:
        histories: ``steps``, ``explained``, ``linear_explained`` (rows over steps, directions
            ascending) and ``directions`` of every seed, by variant.
    """
    figure, axes = new_figure(1, 2, (9.5, 3.3))
    share, count = axes[0]
    for index, (name, seeds) in enumerate(histories.items()):
        for place, seen in enumerate(seeds):
            label = name if place == 0 else None
            steps = seen["steps"]
            network, affine = (_lowest(seen[key]) for key in ("explained", "linear_explained"))
            share.plot(steps, network, ".-", ms=4, lw=1.2, color=colour(index), label=label)
            share.plot(steps, affine, "--", lw=0.9, alpha=0.6, color=colour(index))
            count.plot(steps, seen["directions"], ".-", ms=4, color=colour(index), label=label)
    share.plot([], [], "--", color=GREY, label="affine map")
    low, high = share.get_ylim()
    share.set_ylim(max(low, -0.5), min(high, 1.02))
    count.set_ylim(bottom=-0.5)
    title = "Smallest quarter of the directions"
    finish(share, title, "step", "share of the target explained", legend=True)
    finish(count, "Directions proved under-fitted", "step", "number", legend=True)
    return figure


def _lowest(rows: Sequence[Sequence[Any]]) -> np.ndarray:
    """Return the mean over the smallest quarter of the directions, per step."""
    values = np.array([[np.nan if v is None else float(v) for v in row] for row in rows])
    return np.nanmean(values[:, : max(1, values.shape[1] // 4)], axis=1)


def _draw_map(ax: Axes, t: np.ndarray, ratio: np.ndarray, flagged: np.ndarray) -> Any:
    """Draw the ratio of errors over t and direction, with dots where it is proved too large."""
    from matplotlib.colors import LogNorm

    rank = np.arange(1, flagged.shape[1] + 1)
    mesh = ax.pcolormesh(
        t,
        rank,
        np.ma.clip(np.ma.masked_invalid(ratio[:, ::-1].T), 1 / _MOST_RATIO, _MOST_RATIO),
        norm=LogNorm(1 / _MOST_RATIO, _MOST_RATIO),
        cmap=DIVERGING,
        shading="nearest",
    )
    ax.grid(visible=False)
    rows, columns = np.nonzero(flagged[:, ::-1].T)
    ax.plot(t[columns], rank[rows], ".", color="black", markersize=2)
    ax.invert_yaxis()
    return mesh


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
