"""Generated rows beside real ones: images as grids, anything else as clouds of points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from precond_gm.plotting.style import COLOURS, INK, colour, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["image_grid", "plot_rows"]

Rows = Mapping[str, tuple[NDArray[Any], NDArray[Any] | None]]
_COLUMNS, _LINES, _POINTS = 10, 5, 800


def plot_rows(
    rows: Rows, label_names: Sequence[str] = (), feature_names: Sequence[str] = ()
) -> Figure:
    """Draw every set of rows in a panel of its own.

    Args:
        rows: Rows ``count *event`` and labels, by title; the first set is the real one.
        label_names: Name of each class.
        feature_names: Name of each column of a table.
    """
    first = next(iter(rows.values()))[0]
    is_image = first.ndim == 4 and first.shape[1] in (1, 3)
    return _images(rows, label_names) if is_image else _clouds(rows, label_names, feature_names)


def image_grid(x: NDArray[Any], label: NDArray[Any] | None, num_labels: int) -> NDArray[Any]:
    """Return one picture of many images in [0, 1]: a column per class, or as they come.

    Args:
        x: Images ``count channel height width`` in [-1, 1]; what lies outside is clipped.
        label: Class of each image, or None.
        num_labels: Number of classes.
    """
    count, channels, height, width = x.shape
    columns = min(_COLUMNS, num_labels) if label is not None else min(_COLUMNS, count)
    gap = 1 + height // 16
    lines = _LINES if label is not None else max(1, min(_LINES, count // columns))
    shape = (lines * (height + gap) - gap, columns * (width + gap) - gap, channels)
    grid = np.full(shape, float(channels > 1))  # white: grey images are drawn with 0 as white
    for column in range(columns):
        members = (
            np.flatnonzero(label == column)
            if label is not None
            else np.arange(column, count, columns)
        )
        for line, index in enumerate(members[:lines]):
            image = np.clip((x[index].transpose(1, 2, 0) + 1) / 2, 0, 1)
            top, left = line * (height + gap), column * (width + gap)
            grid[top : top + height, left : left + width] = image
    return grid


def _images(rows: Rows, label_names: Sequence[str]) -> Figure:
    grids = {t: image_grid(x, label, max(1, len(label_names))) for t, (x, label) in rows.items()}
    aspect = max(grid.shape[1] / grid.shape[0] for grid in grids.values())
    columns = min(2 if aspect > 1.4 else 4, len(rows))
    lines = -(-len(rows) // columns)
    width = min(5.2, 10.4 / columns)
    figure, axes = new_figure(lines, columns, (width * columns, (width / aspect + 0.5) * lines))
    for ax in axes.flat:
        ax.axis("off")
    for ax, (title, (x, label)) in zip(axes.flat, rows.items(), strict=False):
        grid = grids[title]
        shown = grid[..., 0] if grid.shape[2] == 1 else grid
        ax.imshow(shown, cmap="gray_r" if grid.shape[2] == 1 else None, vmin=0, vmax=1)
        ax.set_title(title, fontsize=10, loc="left", color=INK, pad=16)
        if label is not None:
            _name_columns(ax, x.shape[3] + 1 + x.shape[2] // 16, x.shape[3], label_names)
    return figure


def _name_columns(ax: Axes, pitch: int, width: int, label_names: Sequence[str]) -> None:
    """Write the class over each column of images."""
    for column, name in enumerate(label_names[:_COLUMNS]):
        at = column * pitch + width / 2
        ax.text(at, -0.08 * pitch, name[:14], ha="center", va="bottom", fontsize=7, color=INK)


def _clouds(rows: Rows, label_names: Sequence[str], feature_names: Sequence[str]) -> Figure:
    """Project on the first two principal directions of the real rows, unless there are but two."""
    real = next(iter(rows.values()))[0]
    flat = real.reshape(len(real), -1).astype(np.float64)
    mean, basis = flat.mean(0), np.eye(flat.shape[1])[:, :2]
    if flat.shape[1] > 2:
        basis = np.linalg.svd(flat - mean, full_matrices=False)[2][:2].T
        feature_names = ("first principal direction", "second principal direction")
    figure, axes = new_figure(1, len(rows), (3.4 * len(rows), 3.4))
    limits = None
    for ax, (title, (x, label)) in zip(axes.flat, rows.items(), strict=True):
        points = (x.reshape(len(x), -1)[:_POINTS] - mean) @ basis
        if points.shape[1] == 1:
            points = np.concatenate([points, np.zeros_like(points)], axis=1)
        for k in range(max(1, len(label_names))):
            chosen = points if label is None else points[label[:_POINTS] == k]
            name = label_names[k] if k < len(label_names) else None
            ax.scatter(*chosen.T, s=4, alpha=0.5, lw=0, color=colour(k), label=name)
        limits = limits or (ax.get_xlim(), ax.get_ylim())
        ax.set_xlim(limits[0])
        ax.set_ylim(limits[1])
        names = (*feature_names, "", "")[:2] if ax is axes.flat[0] else (*feature_names, "")[:1]
        finish(ax, title, names[0], names[-1] if len(names) == 2 else "")
    if 1 < len(label_names) <= len(COLOURS):
        figure.legend(
            *axes.flat[0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=len(label_names),
            fontsize=8,
            frameon=False,
            markerscale=3,
        )
    return figure
