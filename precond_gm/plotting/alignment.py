"""Figure of an alignment report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from precond_gm.plotting.style import COLOURS, GREY, array, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_alignment"]


def plot_alignment(
    *,
    title: str,
    t: Tensor,
    weight: Tensor,
    measured_t: Tensor | None = None,
    loss: Tensor | None = None,
    gradient_norm: Tensor | None = None,
) -> Figure:
    """Draw the implied weight against t on a logarithmic axis, and what was measured beside it.

    Args:
        title: Name of the cell.
        t: Times of the weight.
        weight: Implied weight.
        measured_t: Times of the measurement.
        loss: Mean loss at these times.
        gradient_norm: Norm of the gradient at these times.
    """
    measured = measured_t is not None and loss is not None and gradient_norm is not None
    figure, axes = new_figure(1, 2 if measured else 1)
    ax = axes[0, 0]
    ax.semilogy(array(t), array(weight), color=COLOURS[0], linewidth=2, label="implied weight")
    ax.axhline(1, color=GREY, linewidth=1, linestyle="--", label="aligned")
    finish(ax, title, "t (0 noise, 1 data)", "factor of the prediction's error", legend=True)
    if measured_t is not None and loss is not None and gradient_norm is not None:
        ax = axes[0, 1]
        for name, values, shade in (
            ("loss", loss, COLOURS[2]),
            ("gradient norm", gradient_norm, COLOURS[1]),
        ):
            relative = array(values / values.median())
            ax.semilogy(array(measured_t), relative, "o-", markersize=3, color=shade, label=name)
        ax.axhline(1, color=GREY, linewidth=1, linestyle="--")
        finish(ax, "Measured on this network", "t", "relative to the median over t", legend=True)
    return figure
