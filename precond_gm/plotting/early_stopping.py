"""Figure of an early-stopping report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from precond_gm.plotting.style import COLOURS, GREY, array, colour, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_early_stopping"]


def plot_early_stopping(
    *,
    title: str,
    delta: Tensor,
    w2: Tensor,
    w2_error: Tensor,
    parts: Mapping[str, Tensor | None],
    path_kl: Tensor | None,
    floor: float | None,
) -> Figure:
    """Draw the error at the end against delta with its parts, and the path divergence.

    Args:
        title: Title of the figure.
        delta: Distances to t = 1.
        w2: W2 to the target.
        w2_error: Half-width of its interval.
        parts: Parts of W2, by name, where they are known.
        path_kl: Path divergence, or None.
        floor: Noise floor of W2, or None.
    """
    figure, axes = new_figure(1, 1 if path_kl is None else 2)
    x, ax = array(delta), axes[0, 0]
    ax.errorbar(
        x, array(w2), yerr=array(w2_error), color=COLOURS[0], marker="o", capsize=2,
        markersize=4, label="to the target, 95 %",
    )  # fmt: skip
    for index, (name, part) in enumerate(parts.items()):
        if part is not None:
            ax.plot(x, array(part), color=colour(index + 1), linewidth=1.2, label=name)
    if floor is not None:
        ax.axhline(floor, color=GREY, linestyle=":", label="noise floor")
    ax.set_yscale("log")
    finish(ax, "W2", "delta", "", legend=True)
    if path_kl is not None:
        axes[0, 1].plot(x, array(path_kl), color=COLOURS[0], marker="o", markersize=4)
        axes[0, 1].set_yscale("log")
        finish(axes[0, 1], "Path KL up to 1 - delta (nats)", "delta", "")
    for panel in axes.flat:
        panel.set_xscale("log")
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure
