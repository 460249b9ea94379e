"""Figure of gradient descent on a linear network: what is left against the eigenvalue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from precond_gm.plotting.style import SEQUENTIAL, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_linear_descent"]

_LEAST = 1e-9


def plot_linear_descent(descents: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw the error left along each direction, a panel for each: lines predict, circles measure.

    Args:
        descents: ``eigenvalues`` (ascending), ``steps``, and the error left, ``predicted`` and
            ``measured`` (rows over steps), by title.
    """
    from matplotlib import colormaps

    figure, axes = new_figure(1, len(descents), (4.6 * len(descents), 3.4))
    shares = [_shares(descent["eigenvalues"]) for descent in descents.values()]
    least = min(float(share.min()) for share in shares)
    for ax, share, (title, descent) in zip(axes[0], shares, descents.items(), strict=True):
        steps = descent["steps"]
        for place, made in enumerate(steps):
            shade = colormaps[SEQUENTIAL](0.85 * place / max(len(steps) - 1, 1))
            ax.plot(share, descent["predicted"][place], color=shade, label=f"step {made:,}")
            ax.plot(share, descent["measured"][place], "o", ms=3.5, mfc="none", color=shade)
        ax.set_xscale("log")
        ax.set_xlim(min(0.5 * least, 0.1), 1.5)
        ax.set_ylim(-0.1, 1.1)
        finish(ax, title, "eigenvalue of Cov(z_t), largest = 1", "error left", legend=True)
    return figure


def _shares(eigenvalues: list[float]) -> np.ndarray:
    """Return the eigenvalues over the largest; those without variance stand at the left edge."""
    return np.maximum(np.array(eigenvalues) / eigenvalues[-1], _LEAST)
