"""Columns of a table: how values of real and generated rows are spread, in the file's units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from precond_gm.plotting.style import GREY, colour, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_features"]

_COLUMNS, _MOST, _BINS = 4, 12, 24


def plot_features(rows: Mapping[str, NDArray[Any]], features: Mapping[str, Any]) -> Figure:
    """Draw a histogram of each column, real rows shaded and samples as lines.

    Args:
        rows: Rows ``count features`` in x, by title; the first set is the real one.
        features: ``names`` of the columns, and their ``shift`` and ``scale``: a value in the units
            of the file is ``x * scale + shift``.
    """
    names = list(features["names"])[:_MOST]
    shift, scale = (np.asarray(features[key], dtype=np.float64) for key in ("shift", "scale"))
    raw = {title: x * scale + shift for title, x in rows.items()}
    real = next(iter(raw.values()))
    columns = min(_COLUMNS, len(names))
    lines = -(-len(names) // columns)
    figure, axes = new_figure(lines, columns, (2.7 * columns, 1.9 * lines + 0.4))
    for index, ax in enumerate(axes.flat):
        if index >= len(names):
            ax.axis("off")
            continue
        low, high = np.quantile(real[:, index], [0.002, 0.998])
        margin = 0.1 * (high - low) or 1.0
        bins = np.linspace(low - margin, high + margin, _BINS + 1)
        for number, (title, x) in enumerate(raw.items()):
            settings: dict[str, Any] = {"density": True, "bins": bins, "label": title}
            if number == 0:
                ax.hist(x[:, index], color=GREY, alpha=0.45, **settings)
            else:
                ax.hist(x[:, index], histtype="step", lw=1.2, color=colour(number - 1), **settings)
        ax.set_yticks([])
        ax.locator_params(axis="x", nbins=4)
        ax.tick_params(labelsize=7)
        finish(ax, "", names[index], "")
    figure.legend(
        *axes.flat[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(raw),
        fontsize=8,
        frameon=False,
    )
    return figure
