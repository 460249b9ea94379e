"""``precond-gm diagnose`` on every set of a folder: size, condition number, verdict.

Each subfolder is a set; one that cannot be read whole is read file by file. Large images are
resized. Training rows alone are looked at, as before any training. Run, about five minutes on one
core:

    python benchmarks/studies/shared_data.py ../shared/data [--out FOLDER for the pages]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from cells import Row, write

import precond_gm as pg
from precond_gm.data import Prepared, ReadOptions, prepare, read
from precond_gm.errors import PrecondError
from precond_gm.report import write_page
from precond_gm.report.conditioning import conditioning_sections, conditioning_verdict

MOST_PIXELS, SIDE = 1024, 16
VARIANTS = ("identity", "whiten")


def sets(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the sets of a folder: whole where that can be read, else file by file."""
    for path in sorted(p for p in folder.iterdir() if p.is_dir()):
        try:
            opened(path)
            yield path.name, path
        except PrecondError as whole:
            files = [p for p in sorted(path.iterdir()) if p.is_file()]
            for file in files:
                try:
                    opened(file)
                    yield f"{path.name}/{file.name}", file
                except PrecondError as error:
                    print(f"{path.name}/{file.name}: not read: {error}", file=sys.stderr)
            if not files:
                print(f"{path.name}: not read: {whole}", file=sys.stderr)


def opened(path: Path) -> Prepared:
    """Read and prepare; images of many pixels are resized."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            raw = read(str(path), ReadOptions())
            if math.prod(raw.x.shape[1:]) <= MOST_PIXELS:
                return prepare(raw)
        except PrecondError as error:
            if "image_size" not in str(error):
                raise
        return prepare(read(str(path), ReadOptions(image_size=SIDE)))


def diagnosed(name: str, path: Path, out: Path | None) -> tuple[Row, str]:
    """Return the row of a set and its verdict; write its page where asked."""
    start, data = time.process_time(), opened(path)
    x, label = data.train.x, data.train.label
    reports = {
        variant: pg.diagnostics.conditioning(x, label, preconditioner=variant)
        for variant in VARIANTS
    }
    first, whitened = (reports[variant] for variant in VARIANTS)
    at, worst = int(first.condition_number.argmax()), first.worst_label
    row: Row = {
        "set": name,
        "d": x[0].numel(),
        "rows": x.shape[0],
        "labels": data.num_labels or 0,
        "condition_number": first.worst,
        "low": float(first.condition_low[at]),
        "high": float(first.condition_high[at]),
        "worst_label": "" if worst is None else data.label_names[worst],
        "condition_number_of_it": math.nan if worst is None else first.per_label[worst].worst,
        "effective_rank": float(first.effective_rank[-1]),
        "noise": first.noise_count,
        "whitened": whitened.worst,
        "cpu_seconds": time.process_time() - start,
    }
    if out is not None:
        descents = {
            variant: pg.diagnostics.linear_descent(x, label, preconditioner=variant)
            for variant in VARIANTS
            if x[0].numel() <= MOST_PIXELS
        }
        sections = conditioning_sections(reports, data.label_names, descents)
        write_page(f"Diagnosis of {name}", sections, out / f"{name.replace('/', '-')}.html")
    return row, conditioning_verdict(reports, data.label_names)[0]


def main(folder: Path, out: Path | None) -> None:
    """Print a line per set, and keep the table."""
    rows, verdicts = [], []
    for name, path in sets(folder):
        try:
            row, verdict = diagnosed(name, path, out)
        except PrecondError as error:
            print(f"{name}: not diagnosed: {error}", file=sys.stderr)
            continue
        rows.append(row)
        verdicts.append(f"{name} ({row['rows']:,} x {row['d']:,}): {verdict}")
        print(verdicts[-1], flush=True)
    write("shared_data", rows, verdicts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the sets")
    parser.add_argument("--out", type=Path, default=None, help="folder of the pages")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    main(chosen.folder, chosen.out)
