"""Variants side by side: conditioning over t, spectra, recovery of variance, distance by steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from precond_gm.plotting.style import GREY, INK, colour, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["plot_condition", "plot_recovery", "plot_spectra", "plot_steps"]


_RANK = 1e-8  # of the largest eigenvalue: below it is rounding, where rows are few


def plot_condition(curves: Mapping[str, Mapping[str, Any]], label_names: Sequence[str]) -> Figure:
    """Draw the condition number of Sigma_t against t, a panel per variant, a line per label.

    Args:
        curves: ``t``, ``pooled`` and ``labels`` (label to curve) by variant.
        label_names: Name of each class.
    """
    figure, axes = new_figure(1, len(curves), (3.6 * len(curves), 3.1))
    highest = 1.0
    for index, (name, curve) in enumerate(curves.items()):
        ax = axes[0, index]
        for values in curve["labels"].values():
            ax.plot(curve["t"], _floats(values), color=colour(index), lw=0.8, alpha=0.55)
            highest = max(highest, _top(values))
        if curve["labels"]:
            ax.plot([], [], color=colour(index), lw=0.8, label=f"each of {len(label_names)} labels")
        ax.plot(curve["t"], _floats(curve["pooled"]), color=INK, lw=1.8, label="all rows")
        highest = max(highest, _top(curve["pooled"]))
        finish(ax, name, "t  (0 noise, 1 data)", "condition number of $\\Sigma_t$", legend=True)
    for ax in axes.flat:
        ax.set_yscale("log")
        ax.set_ylim(0.8, 1.6 * highest)
        _few_ticks(ax.yaxis, 0.8, 1.6 * highest)
        if ax is not axes[0, 0]:
            ax.set_ylabel("")
    return figure


def plot_spectra(spectra: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the eigenvalues of the data's covariance in the coordinates that are trained in.

    Directions in which the rows do not vary at all are left out.
    """
    figure, axes = new_figure(1, 1, (5.0, 3.2))
    ax = axes[0, 0]
    for index, (name, values) in enumerate(spectra.items()):
        ordered = np.sort(_floats(values))[::-1]
        ordered = ordered[ordered > _RANK * ordered[0]]
        ax.plot(
            np.arange(1, len(ordered) + 1),
            ordered,
            ".-",
            ms=4,
            lw=1,
            color=colour(index),
            label=name,
        )
    ax.axhline(1.0, color=GREY, lw=0.8, ls=":")
    ax.set_yscale("log")
    _few_ticks(ax.yaxis, *ax.get_ylim())
    finish(ax, "Spectrum that the network sees (t = 1)", "direction", "eigenvalue", legend=True)
    return figure


def plot_recovery(recovery: Mapping[str, Sequence[Mapping[str, Sequence[float]]]]) -> Figure:
    """Draw generated over real variance in every direction of the data's covariance.

    Args:
        recovery: ``eigenvalue``, ``ratio``, ``lower`` and ``upper`` of every seed, by variant;
            where it is known, ``exact_ratio`` at ``exact_eigenvalue``.
    """
    figure, axes = new_figure(1, len(recovery), (3.6 * len(recovery), 3.1))
    bounds = [1.0]
    for index, (name, seeds) in enumerate(recovery.items()):
        ax = axes[0, index]
        ax.axhline(1.0, color=INK, lw=0.9)
        for seed in seeds:
            value, ratio = _floats(seed["eigenvalue"]), _floats(seed["ratio"])
            reach = np.abs(np.stack([_floats(seed["lower"]), _floats(seed["upper"])]) - ratio)
            ax.errorbar(
                value, ratio, reach, fmt="o", ms=2.6, lw=0.6, alpha=0.7, color=colour(index)
            )
            bounds += [float(np.nanmin(ratio)), float(np.nanmax(ratio))]
        if "exact_ratio" in seeds[0]:
            at, exact = _floats(seeds[0]["exact_eigenvalue"]), _floats(seeds[0]["exact_ratio"])
            ax.plot(at, exact, ":", lw=1.4, color=INK, label="exact field, same steps")
            bounds += [float(np.nanmin(exact)), float(np.nanmax(exact))]
            ax.legend(fontsize=8, frameon=False)
        finish(ax, name, "variance of the direction in the data", "")
    axes[0, 0].set_ylabel("generated / real variance", fontsize=9, color=INK)
    for ax in axes.flat:
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_ylim(min(bounds) / 1.4, max(bounds) * 1.4)
        _few_ticks(ax.xaxis, *ax.get_xlim())
        _few_ticks(ax.yaxis, *ax.get_ylim())
    return figure


def plot_steps(
    distances: Mapping[str, Mapping[int, tuple[float, float, float]]], floor: float | None
) -> Figure:
    """Draw the distance to the data against the number of solver steps.

    Args:
        distances: Mean, lower and upper end over seeds, by variant and number of steps.
        floor: The distance of real rows to real rows.
    """
    figure, axes = new_figure(1, 1, (5.0, 3.2))
    ax = axes[0, 0]
    for index, (name, by_steps) in enumerate(distances.items()):
        steps = sorted(by_steps)
        mean = np.array([by_steps[k][0] for k in steps])
        ends = np.array([by_steps[k][1:] for k in steps]).T
        shift = 1.03 ** (index - (len(distances) - 1) / 2)  # so that bars do not hide each other
        at = np.array(steps) * shift
        reach = np.nan_to_num(np.abs(ends - mean))
        ax.errorbar(
            at, mean, reach, fmt="o-", ms=4, lw=1.2, capsize=2, color=colour(index), label=name
        )
    if floor is not None:
        ax.axhline(floor, color=GREY, lw=1, ls="--", label="real against real")
    ax.set_xscale("log")
    ticks = sorted({k for by_steps in distances.values() for k in by_steps})
    ax.set_xticks(ticks, [str(k) for k in ticks])
    ax.minorticks_off()
    finish(
        ax, "Distance by solver steps", "solver steps", "sliced $W_2$ to held-out rows", legend=True
    )
    return figure


def _floats(values: Any) -> Any:
    """Read what JSON made of numbers: infinity came as a word, NaN as None."""
    return np.array([np.nan if v is None else float(v) for v in values])


def _few_ticks(axis: Axis, low: float, high: float) -> None:
    """Label decades alone on a wide logarithmic axis, and 1, 2, 5 on a narrow one."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    decades = float(np.log10(high / low))
    axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2 else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _top(values: Any) -> float:
    found = _floats(values)
    finite = found[np.isfinite(found)]
    return float(finite.max()) if finite.size else 1.0
