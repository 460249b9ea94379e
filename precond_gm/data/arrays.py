"""NumPy files: ``.npz`` with named arrays, and ``.npy``, which is memory-mapped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from precond_gm.data.labels import encode_labels, label_file
from precond_gm.data.options import ReadOptions
from precond_gm.data.records import RawData
from precond_gm.errors import DataError

__all__ = ["read_npy", "read_npz"]

_X_KEYS = ("x", "X", "data", "images", "samples", "features")
_LABEL_KEYS = ("y", "label", "labels", "target", "targets", "Y")


def read_npz(path: Path, options: ReadOptions) -> RawData:
    """Read the rows and labels of an ``.npz``; object arrays are refused (no pickle)."""
    with np.load(path, allow_pickle=False) as archive:
        keys = list(archive.keys())
        key = next((k for k in _X_KEYS if k in keys), None)
        if key is None:
            arrays = [k for k in keys if archive[k].ndim >= 2]
            if len(arrays) != 1:
                raise DataError(
                    f"{path} holds the arrays {', '.join(keys) or 'none'}; one of them must be "
                    f"called {', '.join(_X_KEYS[:3])}, or be the only one with two axes."
                )
            key = arrays[0]
        x = archive[key]
        label = _label_of(archive, keys, path, options)
    return _finish(path, x, label)


def read_npy(path: Path, options: ReadOptions) -> RawData:
    """Map an ``.npy`` file; the rows stay on disk until they are asked for."""
    x = np.load(path, mmap_mode="r", allow_pickle=False)
    label = None
    if options.label == "auto":
        names = (f"{path.stem}_labels.npy", f"{path.stem}_label.npy", "labels.npy", "y.npy")
        beside = [path.with_name(name) for name in names]
        found = next((p for p in beside if p.is_file() and p != path), None)
        label = None if found is None else label_file(found)
    return _finish(path, x, label)


def _label_of(
    archive: Any, keys: Sequence[str], path: Path, options: ReadOptions
) -> NDArray[Any] | None:
    if options.label == "auto":
        key = next((k for k in _LABEL_KEYS if k in keys), None)
        return None if key is None else np.asarray(archive[key])
    if options.label in keys:
        return np.asarray(archive[options.label])
    if options.label == "none":
        return None
    raise DataError(
        f"{path} has no array {options.label!r} for the labels; it holds {', '.join(keys)}. "
        f"Give one of these, a label file, or label=none."
    )


def _finish(path: Path, x: NDArray[Any], label: NDArray[Any] | None) -> RawData:
    if x.dtype.kind not in "fiub":
        raise DataError(f"the rows of {path} have dtype {x.dtype}; numbers are needed.")
    if x.ndim < 2 or x.shape[0] == 0:
        raise DataError(
            f"the rows of {path} have shape {x.shape}; (rows, features) or (rows, channel, height, "
            f"width) is needed, with at least one row."
        )
    if x.dtype == np.bool_:
        x = x.astype(np.uint8)
    limits = (0.0, 255.0) if x.dtype == np.uint8 and x.ndim > 2 else None
    if label is None:
        return RawData(path.stem, x, value_range=limits)
    numbers, names = encode_labels(label, x.shape[0], str(path))
    return RawData(path.stem, x, numbers, names, limits)
