"""Delimited text: separator and header are found out, one column may be the label."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from precond_gm.data.labels import encode_labels
from precond_gm.data.options import ReadOptions
from precond_gm.data.records import RawData
from precond_gm.errors import DataError

__all__ = ["TABLE_SUFFIXES", "read_tables", "tables_in"]

TABLE_SUFFIXES = (".csv", ".data", ".txt", ".tsv")
_LABEL_NAMES = ("label", "class", "target", "y")


@dataclass(frozen=True)
class _Layout:
    """Separator (None means blanks), names of the columns, and whether they stand in line 1."""

    separator: str | None
    names: tuple[str, ...]
    has_header: bool

    def features(self, label: int | None) -> tuple[str, ...]:
        """Return the names of the columns but the label's; nothing where the file has none."""
        columns = range(len(self.names)) if self.has_header else ()
        return tuple(self.names[i].strip().strip('"') for i in columns if i != label)


def tables_in(folder: Path) -> list[Path]:
    """Return the delimited files of a folder, by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in TABLE_SUFFIXES and p.is_file())


def read_tables(paths: Sequence[Path], options: ReadOptions) -> RawData:
    """Read one file, or several with equal columns, one after the other.

    Raises:
        DataError: A cell that is not a number (line and column are named), unequal columns, or
            no such label column.
    """
    layouts = [_layout(path) for path in paths]
    width = len(layouts[0].names)
    for path, layout in zip(paths, layouts, strict=True):
        if len(layout.names) != width:
            raise DataError(
                f"{path.name} has {len(layout.names)} columns, {paths[0].name} has {width}. Files "
                f"of one folder must have equal columns."
            )
    column = _label_column(layouts[0], options, paths)
    values = [_numbers(p, lay, column) for p, lay in zip(paths, layouts, strict=True)]
    x = np.concatenate(values)
    if np.isfinite(x).all() and (x == np.round(x)).all() and np.abs(x).max() < 2**53:
        x = x.astype(np.int64)  # so that it is known to need dequantisation
    name = paths[0].stem
    features = layouts[0].features(column)
    if options.label == "file":
        words = np.repeat([path.stem for path in paths], [len(v) for v in values])
    elif column is not None:
        cells = [_words(p, lay, column) for p, lay in zip(paths, layouts, strict=True)]
        words = _as_classes(np.concatenate(cells))
    else:
        return RawData(name, x, feature_names=features)
    label, names = encode_labels(words, len(x), name)
    return RawData(name, x, label, names, feature_names=features)


def _layout(path: Path) -> _Layout:
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = [line.rstrip("\n") for line in itertools.islice(file, 3) if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text: {error}. Give a delimited text file.") from error
    if not lines:
        raise DataError(f"{path} is empty. Give a file with rows in it.")
    separator = next((s for s in (",", ";", "\t") if s in lines[0]), None)
    head = _split(lines[0], separator)
    has_header = not any(map(_is_number, head)) and len(lines) > 1
    names = tuple(head) if has_header else tuple(str(i) for i in range(len(head)))
    return _Layout(separator, names, has_header)


def _label_column(layout: _Layout, options: ReadOptions, paths: Sequence[Path]) -> int | None:
    label, width = options.label, len(layout.names)
    lowered = [name.strip().lower() for name in layout.names]
    if label == "auto":
        return next((lowered.index(name) for name in _LABEL_NAMES if name in lowered), None)
    if label in ("none", "file"):
        return None
    if label.lower() in lowered:
        return lowered.index(label.lower())
    if label.lstrip("-").isdigit() and -width <= int(label) < width:
        return int(label) % width
    raise DataError(
        f"{paths[0].name} has no column {label!r}. Its columns are {', '.join(layout.names)}; "
        f"a number counts from 0, and -1 is the last."
    )


def _numbers(path: Path, layout: _Layout, skip: int | None) -> NDArray[np.float64]:
    columns = [i for i in range(len(layout.names)) if i != skip]
    try:
        return np.loadtxt(
            path,
            delimiter=layout.separator,
            skiprows=int(layout.has_header),
            usecols=columns,
            ndmin=2,
            encoding="utf-8-sig",
        )
    except ValueError as error:
        raise DataError(_bad_cell(path, layout, columns) or f"{path}: {error}.") from error


def _words(path: Path, layout: _Layout, column: int) -> NDArray[Any]:
    return np.loadtxt(
        path,
        delimiter=layout.separator,
        skiprows=int(layout.has_header),
        usecols=column,
        dtype=str,
        ndmin=1,
        encoding="utf-8-sig",
    )


def _as_classes(words: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers become integers, so that classes sort as numbers; words stay words."""
    words = np.char.strip(words)
    try:
        numbers = words.astype(np.float64)
    except ValueError:
        return words
    return numbers


def _bad_cell(path: Path, layout: _Layout, columns: Sequence[int]) -> str | None:
    """Find the first cell that is not a number; only called when reading has failed."""
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip() or (number == 1 and layout.has_header):
                continue
            cells = _split(line.rstrip("\n"), layout.separator)
            if len(cells) != len(layout.names):
                return (
                    f"{path.name}, line {number} has {len(cells)} cells, the first has "
                    f"{len(layout.names)}. Every line needs the same columns."
                )
            for i in columns:
                if not _is_number(cells[i]):
                    what = "is empty" if not cells[i].strip() else f"is {cells[i].strip()!r}"
                    return (
                        f"{path.name}, line {number}, column {layout.names[i]!r} {what}, not a "
                        f"number. Make it the label (label={layout.names[i]}), encode or drop the "
                        f"column, or fill the cell."
                    )
    return None


def _split(line: str, separator: str | None) -> list[str]:
    return line.split() if separator is None else next(csv.reader([line], delimiter=separator))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
