"""Candidates side by side: conditioning, likelihood, cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from precond_gm.plotting.style import COLOURS, GREY, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_advice"]


def plot_advice(
    names: Sequence[str],
    condition: Sequence[float],
    behind: Sequence[tuple[float, float]],
    cost: Sequence[tuple[float, float]],
    recommended: str,
) -> Figure:
    """Draw one bar per candidate in each panel; the recommended one is coloured.

    Args:
        names: Candidates, best first.
        condition: Held-out condition numbers.
        behind: Nats behind the best held-out likelihood, with standard errors.
        cost: Seconds of the fit, and time of the inverse as a share of 50 sampling steps.
        recommended: Name of the one to use.
    """
    height = 1.4 + 0.34 * len(names)
    figure, axes = new_figure(1, 4, size=(14, height))
    colours = [COLOURS[0] if name == recommended else GREY for name in names]
    place = range(len(names))
    panels: list[tuple[str, str, list[float], str]] = [
        ("Conditioning", "held-out condition number", list(condition), "log"),
        ("Likelihood", "nats behind the best (2 s.e.)", [mean for mean, _ in behind], "linear"),
        ("Fit", "seconds", [fit for fit, _ in cost], "log"),
        ("Inverse", "share of 50 sampling steps", [share for _, share in cost], "log"),
    ]
    for ax, (title, label, values, scale) in zip(axes[0], panels, strict=True):
        errors = [2 * error for _, error in behind] if title == "Likelihood" else None
        ax.barh(place, values, xerr=errors, color=colours, height=0.6)
        ax.set_xscale("symlog" if title == "Likelihood" else scale)
        ax.set_yticks(place, names if ax is axes[0, 0] else [""] * len(names))
        ax.invert_yaxis()
        finish(ax, title, label, "")
    return figure
