"""One function that looks at a path, or a name, and calls the reader of that format."""

from __future__ import annotations

import difflib
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

from precond_gm.data.arrays import read_npy, read_npz
from precond_gm.data.bundled import BUNDLED, read_bundled
from precond_gm.data.idx import is_idx_folder, read_idx
from precond_gm.data.images import IMAGE_SUFFIXES, is_image_folder, read_images
from precond_gm.data.labels import is_label_file, with_label_file
from precond_gm.data.options import ReadOptions
from precond_gm.data.records import RawData
from precond_gm.data.tables import TABLE_SUFFIXES, read_tables, tables_in
from precond_gm.errors import DataError, PrecondError

__all__ = ["read"]

_UNREADABLE = (OSError, ValueError, EOFError, KeyError, BadZipFile, zlib.error, struct.error)
_FILES: dict[str, Callable[[Path, ReadOptions], RawData]] = {
    ".npz": read_npz,
    ".npy": read_npy,
    **{suffix: lambda path, options: read_tables([path], options) for suffix in TABLE_SUFFIXES},
}


def read(source: str | Path, options: ReadOptions | None = None) -> RawData:
    """Read rows and labels from a file, a folder, or a bundled set.

    Args:
        source: ``.npz``, ``.npy``, delimited text (``.csv``, ``.data``, ``.txt``, ``.tsv``), a
            folder of such text files with equal columns, an IDX folder (MNIST and its kin), a
            folder of images, or one of the bundled names (``digits``, ``moons``, ...).
        options: Label column, image size, and so on.

    Raises:
        DataError: Nothing there, not readable, or not consistent; the message says which.

    Example:
        >>> raw = read("digits")
        >>> raw.x.shape, len(raw.label_names)
        ((1797, 1, 8, 8), 10)
    """
    options = options or ReadOptions()
    path = Path(source).expanduser()
    if not path.exists():
        if str(source) in BUNDLED:
            return read_bundled(str(source))
        raise DataError(_missing(str(source)))
    try:
        if is_label_file(options.label):
            raw = _read_path(path, replace(options, label="none"))
            return with_label_file(raw, options.label, path)
        return _read_path(path, options)
    except PrecondError:
        raise
    except _UNREADABLE as error:
        raise DataError(
            f"{path} cannot be read: {type(error).__name__}: {error}. Check that the file is "
            f"complete, is what its ending says, and may be read."
        ) from error


def _read_path(path: Path, options: ReadOptions) -> RawData:
    if path.is_file():
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty. Give a file with rows in it.")
        reader = _FILES.get(path.suffix.lower())
        if reader is None:
            raise DataError(
                f"{path} ends in {path.suffix!r}, which no reader knows. Known are "
                f"{', '.join(_FILES)}, and folders of IDX files, tables or images."
            )
        return reader(path, options)
    if is_idx_folder(path):
        return read_idx(path, options)
    if is_image_folder(path):
        return read_images(path, options)
    tables = tables_in(path)
    if tables:
        return replace(read_tables(tables, options), name=path.resolve().name)
    raise DataError(
        f"the folder {path} holds no IDX files, no tables ({', '.join(TABLE_SUFFIXES)}) and no "
        f"images ({', '.join(IMAGE_SUFFIXES)}), neither directly nor one folder per class."
    )


def _missing(source: str) -> str:
    near = difflib.get_close_matches(source, BUNDLED, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"there is no file or folder {source!r}, and no bundled data set of that name.{hint} "
        f"Bundled are: {', '.join(BUNDLED)}."
    )
