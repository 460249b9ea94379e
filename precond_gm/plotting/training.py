"""Losses of several variants, each on axes of its own: their heights cannot be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from precond_gm.plotting.style import GREY, colour, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_losses"]

Curve = Sequence[Sequence[float]]


def plot_losses(
    train: Mapping[str, Sequence[Curve]], validation: Mapping[str, Sequence[Curve]]
) -> Figure:
    """Draw training and validation loss, one panel per variant and one line per seed.

    Args:
        train: Rows (step, loss) of every seed, by variant.
        validation: The same of the validation loss.
    """
    figure, axes = new_figure(1, len(train), (3.6 * len(train), 2.9))
    for index, (name, curves) in enumerate(train.items()):
        ax = axes[0, index]
        for k, curve in enumerate(curves):
            rows = np.asarray(curve).reshape(-1, 2)
            label = "training" if k == 0 else None
            ax.plot(rows[:, 0], rows[:, 1], color=GREY, lw=0.8, alpha=0.8, label=label)
        for k, curve in enumerate(validation[name]):
            rows = np.asarray(curve).reshape(-1, 2)
            label = "validation (average of weights)" if k == 0 else None
            dot = "o" if len(rows) == 1 else ""  # a line of one point would not be seen
            ax.plot(rows[:, 0], rows[:, 1], dot + "-", color=colour(index), lw=1.8, label=label)
        values = [row[1] for curve in [*curves, *validation[name]] for row in curve]
        if values:
            low, high = np.quantile(values, [0.0, 0.97])
            ax.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
        finish(ax, name, "step", "loss in its own z" if index == 0 else "", legend=True)
    return figure
