"""The IDX format of MNIST and its kin: a magic number, sizes, then bytes; gzipped or not."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from precond_gm.data.labels import encode_labels
from precond_gm.data.options import ReadOptions
from precond_gm.data.records import RawData
from precond_gm.errors import DataError

__all__ = ["is_idx_folder", "read_idx", "read_idx_file"]

_DTYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def is_idx_folder(folder: Path) -> bool:
    """Whether the folder holds IDX image files."""
    return _image_file(folder, "train") is not None or _image_file(folder, "t10k") is not None


def read_idx(folder: Path, options: ReadOptions) -> RawData:
    """Read train, t10k or both; with both, the t10k rows stay the test part."""
    wanted = {"train": ("train",), "t10k": ("t10k",), "both": ("train", "t10k")}
    if options.subset not in wanted:
        raise DataError(f"subset is train, t10k or both; got {options.subset!r}.")
    images, labels = [], []
    for part in wanted[options.subset]:
        path = _image_file(folder, part)
        if path is None:
            if options.subset == "both":
                continue
            raise DataError(f"{folder} holds no {part}-images-idx3-ubyte file, gzipped or not.")
        images.append(read_idx_file(path))
        named = path.with_name(path.name.replace("images-idx3", "labels-idx1"))
        if options.label != "none":
            if not named.is_file():
                raise DataError(
                    f"the labels {named.name} are missing beside {path.name}. Add the file, or "
                    f"train without labels (label=none)."
                )
            labels.append(read_idx_file(named))
    x = np.concatenate(images)[:, None]
    num_test = len(images[1]) if len(images) == 2 else 0
    label, names = (
        encode_labels(np.concatenate(labels), len(x), str(folder)) if labels else (None, ())
    )
    return RawData(folder.resolve().name, x, label, names, (0.0, 255.0), num_test)


def read_idx_file(path: Path) -> NDArray[Any]:
    """Read one IDX file.

    Raises:
        DataError: A wrong magic number, or fewer bytes than the header promises.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        content: bytes = file.read()
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _DTYPES:
        raise DataError(f"{path} is not an IDX file: its first bytes are {content[:4]!r}.")
    dtype, axes = np.dtype(_DTYPES[content[2]]), content[3]
    shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
    expected = 4 + 4 * axes + int(np.prod(shape)) * dtype.itemsize
    if len(content) != expected:
        raise DataError(
            f"{path} is truncated or padded: its header promises {expected} bytes for shape "
            f"{shape}, it holds {len(content)}. Fetch the file again."
        )
    return np.frombuffer(content, dtype, offset=4 + 4 * axes).reshape(shape)


def _image_file(folder: Path, part: str) -> Path | None:
    names = (f"{part}-images-idx3-ubyte", f"{part}-images-idx3-ubyte.gz")
    return next((folder / name for name in names if (folder / name).is_file()), None)
