"""What every reader returns: rows as they stand in the file, with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RawData"]


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
        feature_names: Name of each column of a table; empty where there are none.
        notes: What the reader decided and the user should know.
    """

    name: str
    x: NDArray[Any]
    label: NDArray[np.int64] | None = None
    label_names: tuple[str, ...] = ()
    value_range: tuple[float, float] | None = None
    num_test: int = 0
    feature_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_integer(self) -> bool:
        """Whether the rows are stored as integers, so that they need dequantisation."""
        return bool(np.issubdtype(self.x.dtype, np.integer))
