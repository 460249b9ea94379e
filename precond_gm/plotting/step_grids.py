"""Figure of grids of times: where the steps are, and how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from precond_gm.plotting.style import array, colour, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_step_grids"]


def plot_step_grids(grids: Mapping[str, Tensor]) -> Figure:
    """Draw the times of each grid as marks, and the step size against the time left.

    Args:
        grids: Increasing times by name.
    """
    figure, axes = new_figure(1, 2, size=(10.5, max(3.2, 0.5 * len(grids) + 1.4)))
    marks, sizes = axes[0]
    for row, (name, values) in enumerate(grids.items()):
        times = array(values)
        marks.plot(times, np.full_like(times, row), "|", color=colour(row), markersize=11)
        left = 1 - times[:-1]
        sizes.loglog(left, np.diff(times), color=colour(row), linewidth=1.8, label=name)
    marks.set_yticks(range(len(grids)), list(grids))
    marks.invert_yaxis()
    marks.set_xlim(-0.01, 1.01)
    sizes.invert_xaxis()
    finish(marks, "Times of the steps", "t (0 noise, 1 data)", "")
    finish(sizes, "Length of the steps", "time left, 1 - t", "step size", legend=True)
    return figure
