"""A split that depends on the seed and the labels alone, never on what is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from precond_gm.data.records import RawData
from precond_gm.errors import DataError

__all__ = ["PARTS", "split_rows"]

PARTS = ("train", "validation", "test")
_LEAST_ROWS = 3  # of each class: one for every part


def split_rows(raw: RawData, fractions: Sequence[float], seed: int) -> dict[str, NDArray[np.int64]]:
    """Return the row numbers of each part, stratified by label.

    Where the source has its own test rows these are the test part, and the other two fractions
    are rescaled over the rest.

    Args:
        raw: The data as read.
        fractions: Shares of train, validation and test; they sum to 1.
        seed: Of the permutation. The same seed gives the same split on every machine.

    Raises:
        DataError: A class, or the whole set, has too few rows to be split.
    """
    rows = raw.x.shape[0]
    own_test = np.arange(rows - raw.num_test, rows)
    free = np.arange(rows - raw.num_test)
    label = np.zeros(rows, dtype=np.int64) if raw.label is None else raw.label
    train, validation, test = fractions
    if raw.num_test:
        train, validation, test = train / (train + validation), validation / (1 - test), 0.0
    generator = np.random.default_rng(seed)
    parts: dict[str, list[NDArray[np.int64]]] = {part: [] for part in PARTS}
    for value in np.unique(label):
        members = generator.permutation(free[label[free] == value])
        if len(members) < _LEAST_ROWS:
            raise DataError(_too_few(raw, int(value), len(members)))
        held = max(1, round(validation * len(members)))
        tested = 0 if raw.num_test else max(1, round(test * len(members)))
        parts["validation"].append(members[:held])
        parts["test"].append(members[held : held + tested])
        parts["train"].append(members[held + tested :])
    if raw.num_test:
        parts["test"].append(own_test)
    # Rows of one class must not lie together, or the head of a part would be one class only.
    return {part: generator.permutation(np.concatenate(parts[part])) for part in PARTS}


def _too_few(raw: RawData, value: int, count: int) -> str:
    if raw.label is None:
        return f"{raw.name} has {count} rows; a split needs at least {_LEAST_ROWS}."
    name = raw.label_names[value] if raw.label_names else str(value)
    return (
        f"class {name!r} of {raw.name} has {count} rows; each class needs at least "
        f"{_LEAST_ROWS}, one for each of train, validation and test. Drop the class, merge it "
        f"with another, or train without labels (label=none)."
    )
