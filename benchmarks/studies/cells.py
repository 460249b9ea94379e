"""What the studies of the step size share: one row per cell, exact searches, a figure."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from precond_gm.closed_form.gaussian_base import AbstractGaussianBridge
from precond_gm.solvers import grids

RESULTS = Path(__file__).resolve().parents[1] / "results"
Row = dict[str, Any]


def folder(description: str | None) -> Path:
    """Read ``--out``, the folder of the figures."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the figures")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    return out


def write(name: str, rows: Sequence[Row], conclusions: Sequence[str]) -> None:
    """Write ``benchmarks/results/<name>.csv`` and, beside it, what the rows say."""
    fields = list(dict.fromkeys(key for row in rows for key in row))
    with (RESULTS / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
                         for row in rows)  # fmt: skip
    (RESULTS / f"{name}.json").write_text(
        json.dumps({"conclusions": list(conclusions)}, indent=1) + "\n"
    )
    for conclusion in conclusions:
        print(conclusion)
    print(f"wrote benchmarks/results/{name}.csv", file=sys.stderr)


def grid_of(bridge: AbstractGaussianBridge, name: str, n: int, t_max: float = 1.0) -> torch.Tensor:
    """Return a named grid, with the exact roughness where it is adapted."""
    options = {"roughness": bridge.roughness} if name == "path-kl-optimal" else {}
    return grids.make(name, n, t_max=t_max, **options)


def least(
    error: Callable[[int], float], wanted: float, most: int = 2**15, start: int = 1
) -> int | None:
    """Return the least n with ``error(n) <= wanted``, for an error that falls with n; or None.

    Nothing below ``start`` / 2 is looked at.
    """
    high = start
    while error(high) > wanted:
        high *= 2
        if high > most:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if error(middle) <= wanted else (middle, high)
    return high


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the slope of log y against log x by least squares."""
    a, b = torch.tensor(x).double().log(), torch.tensor(y).double().log()
    a = a - a.mean()
    return float((a * b).sum() / a.square().sum())


def pick(rows: Sequence[Row], x: str, y: str, **where: Any) -> tuple[list[float], list[float]]:
    """Return two columns of the rows with the given values, without gaps."""
    chosen = [r for r in rows if all(r.get(k) == v for k, v in where.items())]
    pairs = [(r[x], r[y]) for r in chosen if r.get(y) is not None and not math.isnan(r[y])]
    return [p[0] for p in pairs], [p[1] for p in pairs]
