"""Labels: numbered from 0, and read from a file of their own where there is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from precond_gm.data.records import RawData
from precond_gm.errors import DataError

__all__ = ["encode_labels", "is_label_file", "label_file", "with_label_file"]


def is_label_file(label: str) -> bool:
    """Whether what the user gave for the label is a file with one label per row."""
    return Path(label).suffix in (".npy", ".txt")


def with_label_file(raw: RawData, label: str, source: Path) -> RawData:
    """Return the rows with the labels of a file, which may lie beside the source."""
    beside = (source if source.is_dir() else source.parent) / label
    path = beside if beside.is_file() else Path(label)
    numbers, names = encode_labels(label_file(path), len(raw.x), str(path))
    return replace(raw, label=numbers, label_names=names)


def label_file(path: Path) -> NDArray[Any]:
    """Read one label per row from ``.npy`` or from text, one per line.

    Raises:
        DataError: There is no such file.
    """
    if not path.is_file():
        raise DataError(f"the label file {path} does not exist.")
    if path.suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    words = np.array(path.read_text(encoding="utf-8").split())
    try:
        return words.astype(np.int64)
    except ValueError:
        return words


def encode_labels(
    values: NDArray[Any], rows: int, source: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number the distinct label values from 0, in sorted order.

    Raises:
        DataError: Not one label per row, labels that are not finite, or floats that are not whole.
    """
    values = np.asarray(values)
    if values.shape != (rows,):
        raise DataError(
            f"the labels of {source} have shape {values.shape}, expected ({rows},): one label "
            f"for each of the {rows} rows."
        )
    if np.issubdtype(values.dtype, np.floating):
        bad = ~np.isfinite(values) | (values != np.round(values))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"the label of {source} is {values[row]} at row {row}; labels are classes: whole "
                f"numbers or words. Choose another label column, or label=none."
            )
        values = values.astype(np.int64)
    if values.dtype.kind in "US" and (np.char.strip(values) == "").any():
        row = int(np.flatnonzero(np.char.strip(values) == "")[0])
        raise DataError(
            f"the label of {source} is missing at row {row}. Fill it, drop the row, or label=none."
        )
    names, label = np.unique(values, return_inverse=True)
    return label.astype(np.int64).reshape(-1), tuple(str(name) for name in names)
