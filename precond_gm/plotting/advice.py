"""Candidates side by side: conditioning, likelihood, cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from precond_gm.plotting.style import COLOURS, GREY, INK, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_advice"]

LEAST = 1e-5  # share or seconds below which a cost is nothing


def plot_advice(
    names: Sequence[str],
    condition: Sequence[float],
    behind: Sequence[tuple[float, float]],
    cost: Sequence[tuple[float, float]],
    recommended: str,
    is_judged: bool = True,
) -> Figure:
    """Draw one bar per candidate in each panel, with its value; the recommended one is coloured.

    Args:
        names: Candidates, best first.
        condition: Held-out condition numbers.
        behind: Nats behind the best held-out likelihood, with standard errors.
        cost: Seconds of the fit, and time of the inverse as a share of 50 sampling steps.
        recommended: Name of the one to use.
        is_judged: Whether the rows are enough for condition numbers; else these are bounds.
    """
    figure, axes = new_figure(1, 4, size=(14, 1.4 + 0.34 * len(names)))
    colours = [COLOURS[0] if name == recommended else GREY for name in names]
    place = range(len(names))
    words = "held-out condition number" if is_judged else "a lower bound: too few held-out rows"
    gaps = [mean for mean, _ in behind]
    panels: list[tuple[str, str, list[float], list[str], float]] = [
        ("Conditioning", words, list(condition), [_number(v) for v in condition], 1.0),
        (
            "Likelihood",
            "nats behind the best (bars: 2 s.e.)",
            gaps,
            [f"{_number(mean)} \u00b1 {_number(2 * error)}" for mean, error in behind],
            0.0,
        ),
        ("Fit", "seconds", [s for s, _ in cost], [f"{s:.2g} s" for s, _ in cost], LEAST),
        (
            "Inverse",
            "share of 50 sampling steps",
            [share for _, share in cost],
            [f"{share:.1%}" for _, share in cost],
            LEAST,
        ),
    ]
    for ax, (title, label, values, texts, least) in zip(axes[0], panels, strict=True):
        errors = None if least else [2 * error for _, error in behind]
        shown = [max(value, least) for value in values]
        ax.barh(place, shown, xerr=errors, color=colours, height=0.6, ecolor=INK)
        ax.set_xscale("log" if least else "symlog")
        high = ax.get_xlim()[1]
        ax.set_xlim(least or 0, high**1.5 if high > 1 else high * 30)  # room for the values
        for row, text in enumerate(texts):
            end = shown[row] + (errors[row] if errors else 0)
            ax.annotate(
                text, (end, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8
            )
        ax.set_yticks(place, names if ax is axes[0, 0] else [""] * len(names))
        ax.invert_yaxis()
        finish(ax, title, label, "")
    return figure


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
