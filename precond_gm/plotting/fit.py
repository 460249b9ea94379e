"""Pictures of fits of preconditioners."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_before_after"]


def plot_before_after(name: str, before: float, after: float) -> Figure:
    """Draw the condition number before and after a map, on a logarithmic axis.

    Args:
        name: Name of the map.
        before: Condition number of the rows.
        after: Condition number of their image.

    Returns:
        A figure that needs no display.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 2.2), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh([name, "data"], [after, before], color=["#3b6fb6", "#b0b0b0"])
    axes.set_xscale("log")
    axes.set_xlim(left=0.8)
    axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.set_xlabel("condition number, largest over labels (held-out rows)")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
