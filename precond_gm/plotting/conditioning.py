"""Figure of a conditioning report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from precond_gm.plotting.style import COLOURS, GREY, array, colour, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_conditioning"]

_SHOWN_TIMES = (0.25, 0.5, 0.75, 0.9, 1.0)


def plot_conditioning(
    *,
    t: Tensor,
    eigenvalues: Tensor,
    condition_number: Tensor,
    effective_rank: Tensor,
    interval: tuple[Tensor, Tensor],
    per_label: Mapping[int, Tensor],
    noise_count: int = 0,
) -> Figure:
    """Draw condition number against t (all rows, and each label), spectra, and effective rank.

    Args:
        t: Times.
        eigenvalues: Ascending, shape ``times k``.
        condition_number: Of all rows, shape ``times``.
        effective_rank: Of all rows, shape ``times``.
        interval: Ends of the condition number's interval.
        per_label: Condition numbers of each label.
        noise_count: Smallest eigenvalues at the last time that are sampling noise, shaded.
    """
    figure, axes = new_figure(1, 3)
    time = array(t)
    low, high = (array(end) for end in interval)
    axes[0, 0].fill_between(time, low, high, color=COLOURS[0], alpha=0.2, linewidth=0)
    _condition(axes[0, 0], time, array(condition_number), per_label)
    _spectra(axes[0, 1], time, array(eigenvalues), noise_count)
    ax = axes[0, 2]
    ax.plot(time, array(effective_rank), color=COLOURS[0], linewidth=2)
    ax.set_ylim(bottom=0)
    finish(ax, "Directions that carry the variance", "t (0 noise, 1 data)", "effective rank")
    return figure


def _condition(
    ax: Axes, time: np.ndarray, pooled: np.ndarray, per_label: Mapping[int, Tensor]
) -> None:
    for index, (label, values) in enumerate(sorted(per_label.items())):
        name = f"label {label}" if len(per_label) <= 5 else None
        shade = colour(index + 1) if name else GREY
        ax.plot(time, array(values), color=shade, linewidth=0.9, alpha=0.8, label=name)
    if len(per_label) > 5:
        ax.plot([], [], color=GREY, linewidth=0.9, label=f"each of {len(per_label)} labels")
    ax.plot(time, pooled, color=COLOURS[0], linewidth=2, label="all rows")
    ax.set_yscale("log")
    title = "Condition number of the covariance at t"
    finish(ax, title, "t (0 noise, 1 data)", "largest / smallest", legend=bool(per_label))


def _spectra(ax: Axes, time: np.ndarray, values: np.ndarray, noise_count: int) -> None:
    from matplotlib import colormaps

    rank = np.arange(1, values.shape[1] + 1)
    for shown in _SHOWN_TIMES:
        row = int(np.abs(time - shown).argmin())
        shade = colormaps["cividis"](0.85 * shown)
        descending = np.where(values[row] > 0, values[row], np.nan)[::-1]
        ax.plot(rank, descending, color=shade, linewidth=1.4, label=f"t = {time[row]:.2f}")
    if noise_count:
        first = values.shape[1] - noise_count
        ax.axvspan(first + 0.5, values.shape[1] + 0.5, color=GREY, alpha=0.2, label="noise")
    ax.set_yscale("log")
    finish(ax, "Spectrum", "direction, largest first", "eigenvalue", legend=True)
