"""Figure of a comparison of binary samples with data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from precond_gm.plotting.style import COLOURS, GREY, array, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_moments"]


def plot_moments(
    *,
    data: Sequence[Tensor],
    samples: Sequence[Tensor],
    errors: Sequence[float],
    floors: Sequence[float],
) -> Figure:
    """Draw mean products of one, two and three signs: samples against data.

    Args:
        data: Mean products of the data, one tensor per order.
        samples: Mean products of the samples.
        errors: Root mean square differences.
        floors: What sampling alone gives.
    """
    figure, axes = new_figure(1, len(data))
    for k, name in enumerate(("single bits", "pairs", "triples")[: len(data)]):
        ax = axes[0, k]
        ax.plot([-1, 1], [-1, 1], color=GREY, linewidth=1, linestyle="--")
        ax.plot(array(data[k]), array(samples[k]), ".", markersize=4, color=COLOURS[0], alpha=0.6)
        title = f"{name}: error {errors[k]:.4f}, floor {floors[k]:.4f}"
        finish(ax, title, "mean product, data", "mean product, samples")
    return figure
