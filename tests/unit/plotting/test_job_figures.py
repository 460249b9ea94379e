"""The figures of the main job: grids of images, and that every figure is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from precond_gm.plotting.comparison import plot_condition, plot_recovery, plot_spectra, plot_steps
from precond_gm.plotting.samples import image_grid, plot_rows
from precond_gm.plotting.training import plot_losses


def test_each_column_of_the_grid_is_a_label() -> None:
    """Oracle: the brightness that each label was given, read back from the grid."""
    label = np.array([0, 1, 1, 0])
    x = np.where(label[:, None, None, None] == 0, -1.0, 1.0) * np.ones((4, 1, 4, 4))
    grid = image_grid(x, label, 2)
    assert grid[:4, :4].max() == 0
    assert grid[:4, 5:9].min() == 1


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (5,), (2,), (1,)])
@pytest.mark.parametrize("labelled", [True, False])
def test_rows_of_every_shape_are_drawn(shape: tuple[int, ...], labelled: bool) -> None:
    """One panel per set of rows at least."""
    rows = np.random.default_rng(0).normal(size=(30, *shape))
    label = np.arange(30) % 3 if labelled else None
    figure = plot_rows({"real": (rows, label), "made": (rows, label)}, list("abc") * labelled)
    assert len(figure.axes) >= 2


def test_infinite_and_missing_figures_are_drawn() -> None:
    """JSON turns infinity into a word and NaN into None; both come from singular classes."""
    curve = {"t": [0.0, 1.0], "pooled": [1.0, "inf"], "labels": {"0": [1.0, None]}}
    assert len(plot_condition({"a": curve, "b": curve}, ["x"]).axes) == 2
    assert plot_spectra({"a": [1.0, 0.1], "b": [1.0, 1.0]}).axes
    seed = {"eigenvalue": [0.1, 1.0], "ratio": [2.0, 1.0], "lower": [1.5, 0.9], "upper": [3.0, 1.1]}
    assert plot_recovery({"a": [seed, seed]}).axes
    assert plot_steps({"a": {5: (0.2, 0.1, 0.3), 10: (0.1, 0.1, 0.1)}}, 0.05).axes


def test_losses_of_a_run_without_validation_are_drawn() -> None:
    """Validation may be switched off."""
    assert len(plot_losses({"a": [[[10, 2.0], [20, 1.0]]]}, {"a": [[]]}).axes) == 1


def test_columns_are_drawn_by_name_in_the_units_of_the_file() -> None:
    """Oracle: names on the axes, and limits that hold the values of the file, not those of x."""
    from precond_gm.plotting.features import plot_features

    x = np.random.default_rng(0).standard_normal((300, 2)).astype(np.float32)
    features = {"names": ["pH", "sugar"], "shift": [3.2, 50.0], "scale": [0.1, 20.0]}
    figure = plot_features({"real": x, "made": x[:100]}, features)
    first, second = figure.axes[:2]
    assert (first.get_xlabel(), second.get_xlabel()) == ("pH", "sugar")
    assert 2.6 < first.get_xlim()[0] < first.get_xlim()[1] < 3.8
    assert second.get_xlim()[1] > 90


def test_clouds_name_their_axes() -> None:
    """Two columns by their names, more by what they are projected on."""
    rows = np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32)
    two = plot_rows({"real": (rows[:, :2], None)}, (), ("width", "height"))
    assert (two.axes[0].get_xlabel(), two.axes[0].get_ylabel()) == ("width", "height")
    three = plot_rows({"real": (rows, None)}, (), ("a", "b", "c"))
    assert three.axes[0].get_ylabel() == "second principal direction"
