"""Figures of the step-size study: errors against h, with the theory as upper bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from precond_gm.plotting.style import COLOURS, GREY, array, colour, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_comparison", "plot_curves", "plot_step_size"]

TITLES = {
    "path_kl": "Path KL (nats)",
    "strong_error": "Strong error at the end",
    "w2": "W2 at the end",
    "marginal_kl": "Marginal KL (nats)",
    "energy": "Energy distance to held-out data",
    "drift": "Drift part of the path KL (nats)",
}
_PARTS = ("drift",)
_PANELS = ("path_kl", "marginal_kl", "w2", "strong_error", "energy")


def plot_step_size(
    *,
    title: str,
    h: Tensor,
    values: Mapping[str, Tensor],
    errors: Mapping[str, Tensor],
    slopes: Mapping[str, str],
    exact: Mapping[str, Tensor],
    floors: Mapping[str, float],
    theory: Mapping[str, float],
    leading: Tensor | None = None,
    bound: Tensor | None = None,
    drift_label: str = "drift part",
) -> Figure:
    """Draw each error against h on logarithmic axes.

    Args:
        title: Title of the figure.
        h: Mean step sizes.
        values: Errors by name.
        errors: Half-widths of their intervals.
        slopes: Fitted slopes, as text.
        exact: Exact values.
        floors: Noise floors.
        theory: Slope in h of the upper bound of each error.
        leading: Leading order of the path divergence for small h.
        bound: Twice the sum of discretisation and drift part.
        drift_label: What the drift part is called: it may be a bound itself.
    """
    shown = [name for name in _PANELS if name in values]
    columns = (len(shown) + 1) // 2
    figure, axes = new_figure(2, columns, size=(4.8 * columns, 7.4))
    for ax in axes.flat[len(shown) :]:
        ax.remove()
    order = np.argsort(array(h))
    x = array(h)[order]
    for ax, name in zip(axes.flat, shown, strict=False):
        y = array(values[name])[order]
        ax.errorbar(
            x, y, yerr=array(errors[name])[order], color=COLOURS[0], marker="o", capsize=2,
            markersize=4, linewidth=1.2, label="measured, 95 %",
        )  # fmt: skip
        if name in exact:
            ax.plot(x, array(exact[name])[order], "x", color="black", label="exact", zorder=5)
        if name == "path_kl":
            _parts(ax, x, order, values, leading, bound, drift_label)
        if name in theory and name not in floors:
            _upper_line(ax, x, y, theory[name])
        if name in floors:
            ax.axhline(floors[name], color=GREY, linestyle=":", label="noise floor")
        parts = [array(values[k]) for k in _PARTS if name == "path_kl" and k in values]
        _log(ax, [y, *parts, np.array([floors[name]] if name in floors else [])])
        slope = f"; slope {slopes[name]}" if name in slopes else ""
        finish(ax, f"{TITLES[name]}{_short(slope)}", "mean step h", "", legend=True)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def plot_comparison(
    *,
    quantity: str,
    curves: Mapping[str, tuple[Sequence[int], Tensor, Tensor]],
    exact: Mapping[str, Tensor] | None = None,
) -> Figure:
    """Draw one error of several studies against the number of steps, side by side.

    Args:
        quantity: Name of the error.
        curves: Per study: numbers of steps, values, half-widths of the intervals.
        exact: Exact values per study, where they are known.
    """
    figure, axes = new_figure(1, 1, size=(5.6, 4.0))
    ax = axes[0, 0]
    for index, (name, (steps, values, errors)) in enumerate(curves.items()):
        ax.errorbar(
            steps, array(values), yerr=array(errors), color=colour(index), marker="o",
            capsize=2, markersize=4, linewidth=1.2, label=name,
        )  # fmt: skip
        if exact and name in exact:
            ax.plot(steps, array(exact[name]), "x", color="black", zorder=5)
    if exact:
        ax.plot([], [], "x", color="black", label="exact")
    ticks = sorted({n for steps, _, _ in curves.values() for n in steps})
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(ticks, [str(n) for n in ticks])
    ax.tick_params(which="minor", labelsize=8)
    finish(ax, TITLES.get(quantity, quantity), "number of steps", "", legend=True)
    return figure


def plot_curves(
    panels: Sequence[tuple[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]]],
    *,
    xlabel: str,
    logx: bool = True,
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Draw panels of named curves on logarithmic axes; ``marks`` are vertical lines by name.

    Args:
        panels: Title and curves (x, y) of each panel.
        xlabel: Label of all x axes.
        logx: Whether x is logarithmic.
        marks: Vertical lines, by name.
    """
    figure, axes = new_figure(1, len(panels))
    for ax, (title, curves) in zip(axes[0], panels, strict=True):
        for index, (name, (x, y)) in enumerate(curves.items()):
            ax.plot(
                x, y, color=colour(index), marker="o", markersize=3.5, linewidth=1.3, label=name
            )
        for index, (name, at) in enumerate((marks or {}).items()):
            ax.axvline(at, color=GREY, linestyle=("--", ":")[index % 2], label=name)
        if logx:
            ax.set_xscale("log")
        ax.set_yscale("log")
        ax.tick_params(which="minor", labelsize=8)
        finish(ax, title, xlabel, "", legend=True)
    return figure


def _parts(
    ax: Axes,
    x: np.ndarray,
    order: np.ndarray,
    values: Mapping[str, Tensor],
    leading: Tensor | None,
    bound: Tensor | None,
    drift_label: str,
) -> None:
    drift = array(values["drift"])[order] if "drift" in values else np.zeros(0)
    if drift.any():
        ax.plot(x, array(values["discretisation"])[order], color=COLOURS[2], label="step-size part")
        ax.plot(x, drift, color=COLOURS[1], label=drift_label)
        if bound is not None:
            ax.plot(x, array(bound)[order], color=GREY, linewidth=1, label="twice the sum (bound)")
    if leading is not None:
        ax.plot(
            x, array(leading)[order], color=COLOURS[4], linewidth=1, label="(h/4) int G, h to 0"
        )


def _upper_line(ax: Axes, x: np.ndarray, y: np.ndarray, slope: float) -> None:
    """Draw the least multiple of ``h**slope`` that lies above every point."""
    ratio = y / x**slope
    if not np.isfinite(ratio).any() or np.nanmax(ratio) <= 0:
        return
    power = "C h" if slope == 1 else f"C h$^{slope:g}$"
    label = f"upper bound {power}, least C that holds"
    ax.plot(
        x, np.nanmax(ratio) * x**slope, color=COLOURS[3], linestyle="--", linewidth=1, label=label
    )


def _log(ax: Axes, series: Sequence[np.ndarray]) -> None:
    """Make both axes logarithmic; only an axis of less than a decade has labels between powers."""
    ax.set_xscale("log")
    positive = np.concatenate([s[s > 0] for s in series])
    if positive.size:
        ax.set_yscale("log")
        ax.set_ylim(positive.min() / 2, 2 * positive.max())
    for axis, (low, high) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        if low <= 0 or high / low > 10:
            axis.set_minor_formatter("")
    ax.tick_params(which="minor", labelsize=8)


def _short(slope: str) -> str:
    return "" if "none" in slope else slope
