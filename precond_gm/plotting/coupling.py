"""Figure of couplings: cost, use of rows, skew within labels, time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from precond_gm.plotting.style import GREY, INK, colour, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_couplings"]


def plot_couplings(
    names: Sequence[str],
    *,
    cost: Sequence[float],
    before: float,
    optimum: float,
    data_used: Sequence[float],
    noise_used: Sequence[float],
    skew: Sequence[dict[int, float]],
    milliseconds: Sequence[float],
    tilted: Sequence[bool] | None = None,
) -> Figure:
    """Draw couplings of one batch side by side.

    Args:
        names: Name of each coupling.
        cost: Mean squared distance of its pairs.
        before: Mean squared distance of the pairs as drawn.
        optimum: The least that a label-aware coupling can reach.
        data_used: Share of the data rows among its pairs.
        noise_used: Share of the noise rows among its pairs.
        skew: Skew of the noise within each label, in standard deviations.
        milliseconds: Time of one pairing.
        tilted: Whether it tilts noise and data, so that its cost does not compare with the others'.
    """
    names = [_short(name) for name in names]
    if tilted is not None:
        names = [f"{n} (tilted)" if t else n for n, t in zip(names, tilted, strict=True)]
    figure, axes = new_figure(2, 2, (10.5, 5.0 + 0.3 * len(names)))
    _bars(axes[0, 0], names, cost, [f"{value:.4g} ({value / before - 1:+.1%})" for value in cost])
    for value, style, text in ((before, "--", "as drawn"), (optimum, ":", "optimum")):
        axes[0, 0].axvline(value, color=GREY, linestyle=style, label=f"{text} {value:.4g}")
    finish(axes[0, 0], "Mean squared distance of the pairs", "", "")
    _legend_below(axes[0, 0])
    height = 0.38
    for index, (rows, shares) in enumerate((("data", data_used), ("noise", noise_used))):
        at = np.arange(len(names)) + (index - 0.5) * height
        axes[0, 1].barh(at, shares, height, color=(INK, GREY)[index], label=f"{rows} rows")
    _names(axes[0, 1], names)
    finish(axes[0, 1], "Share of rows among the pairs", "", "")
    _legend_below(axes[0, 1])
    _skew(axes[1, 0], skew)
    _bars(axes[1, 1], names, milliseconds, [f"{value:.2f} ms" for value in milliseconds])
    finish(axes[1, 1], "Time of one pairing", "milliseconds", "")
    return figure


def _legend_below(ax: Axes) -> None:
    ax.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3)


def _short(name: str) -> str:
    name = name.replace("()", "")
    return name if len(name) < 34 else name[:32] + "…"


def _bars(ax: Axes, names: Sequence[str], values: Sequence[float], texts: Sequence[str]) -> None:
    bars = ax.barh(range(len(values)), values, 0.6, color=[colour(i) for i in range(len(values))])
    under = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}
    ax.bar_label(bars, texts, fontsize=8, padding=5, bbox=under)
    ax.set_xlim(0, 1.35 * max(values) or 1)
    _names(ax, names)


def _names(ax: Axes, names: Sequence[str]) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()


def _skew(ax: Axes, skew: Sequence[dict[int, float]]) -> None:
    """Draw the skew of every label; the chance level is a band."""
    if not any(skew):
        ax.text(0.5, 0.5, "no labels", ha="center", transform=ax.transAxes, color=GREY)
        finish(ax, "Skew of the noise within labels", "", "")
        return
    from matplotlib.ticker import ScalarFormatter

    for index, values in enumerate(skew):
        labels = np.array(sorted(values))
        heights = [values[label] for label in labels]
        at = labels + 0.6 * ((index + 0.5) / len(skew) - 0.5)  # side by side where they agree
        ax.plot(at, heights, "o", markersize=4, color=colour(index))
    ax.axhspan(-3, 3, color=GREY, alpha=0.2, label="chance")
    ax.set_yscale("symlog", linthresh=5)
    ax.yaxis.set_major_formatter(ScalarFormatter())
    finish(ax, "Skew of the noise within labels (colours as above)", "label", "deviations")
    ax.legend(fontsize=8, frameon=False, loc="lower right")
