"""What every reader returns: rows as they stand in the file, with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from precond_gm.errors import DataError

__all__ = ["RawData", "encode_labels"]


@dataclass(frozen=True)
class RawData:
    """Rows as read, before dequantisation, scaling and splitting.

    Attributes:
        name: Short name for reports.
        x: Rows ``rows *event``, any real dtype, possibly memory-mapped. Images are
            ``rows channel height width``.
        label: Class of each row as an integer from 0, or None.
        label_names: Name of each class, in the order of the integers.
        value_range: Smallest and largest value the format allows (0 and 255 for bytes), or None.
        num_test: Rows at the end that the source itself keeps as a test set; 0 where it has none.
        notes: What the reader decided and the user should know.
    """

    name: str
    x: NDArray[Any]
    label: NDArray[np.int64] | None = None
    label_names: tuple[str, ...] = ()
    value_range: tuple[float, float] | None = None
    num_test: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_integer(self) -> bool:
        """Whether the rows are stored as integers, so that they need dequantisation."""
        return bool(np.issubdtype(self.x.dtype, np.integer))


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
