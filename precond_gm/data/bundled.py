"""Data sets that scikit-learn carries, by name: no file and no network needed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from precond_gm.data.records import RawData

__all__ = ["BUNDLED", "read_bundled"]


def _digits() -> RawData:
    from sklearn.datasets import load_digits

    found = load_digits()
    names = tuple(str(i) for i in range(10))
    pixels = found.images.astype(np.int64)[:, None]
    return RawData("digits", pixels, found.target.astype(np.int64), names, (0.0, 16.0))


def _table(name: str) -> RawData:
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    names = tuple(str(word) for word in found.target_names)
    return RawData(
        name,
        found.data.astype(np.float64),
        found.target.astype(np.int64),
        names,
        feature_names=tuple(str(word) for word in found.feature_names),
    )


def _moons() -> RawData:
    from sklearn.datasets import make_moons

    x, label = make_moons(6000, noise=0.06, random_state=0)
    return RawData("moons", x * np.array([1.0, 0.05]), label.astype(np.int64), ("upper", "lower"))


def _mixture() -> RawData:
    """Draw three narrow Gaussians at different angles: the worst one sets the conditioning."""
    generator = np.random.default_rng(0)
    rows, labels = [], []
    for k, angle in enumerate((0.0, np.pi / 3, 2 * np.pi / 3)):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = 2.0 * np.array([np.sin(2 * angle), np.cos(2 * angle)])
        cloud = generator.standard_normal((2000, 2)) * np.array([1.0, 0.03])
        rows.append(cloud @ turn.T + centre)
        labels.append(np.full(2000, k))
    return RawData("mixture", np.concatenate(rows), np.concatenate(labels), ("a", "b", "c"))


BUNDLED: dict[str, Callable[[], RawData]] = {
    "digits": _digits,
    "iris": lambda: _table("iris"),
    "wine": lambda: _table("wine"),
    "breast_cancer": lambda: _table("breast_cancer"),
    "moons": _moons,
    "mixture": _mixture,
}


def read_bundled(name: str) -> RawData:
    """Return the set called ``name``; see ``BUNDLED`` for the names."""
    return BUNDLED[name]()
