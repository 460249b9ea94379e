"""What the studies of the step size share: cells computed once, exact searches, training."""

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
from table import interval
from torch import Tensor

import precond_gm as pg
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


def once(file: Path, cell: Row, compute: Callable[[], Sequence[Row]]) -> list[Row]:
    """Return the rows of a cell, computed once: a study that was interrupted goes on from there.

    Args:
        file: Finished cells, one JSON line each.
        cell: What the rows depend on; it is part of each of them.
        compute: Gives the rows.
    """
    lines = file.read_text().splitlines() if file.is_file() else []
    for known in map(json.loads, lines):
        if known["cell"] == cell:
            return [cell | row for row in known["rows"]]
    rows = list(compute())
    with file.open("a") as out:
        out.write(json.dumps({"cell": cell, "rows": rows}) + "\n")
    print(cell, rows[-1], file=sys.stderr, flush=True)
    return [cell | row for row in rows]


def train(
    flow: pg.PreconditionedFlow,
    x: Tensor,
    label: Tensor | None = None,
    *,
    steps: int,
    batch: int,
    rate: float,
    generator: torch.Generator,
) -> None:
    """Fit the map, then train by Adam with a learning rate that falls as a cosine to zero."""
    flow.fit_preconditioner(x, label, generator=generator)
    z = flow.precondition(x, label)
    optimiser = torch.optim.Adam(flow.field.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    with torch.enable_grad():
        for _ in range(steps):
            rows = torch.randint(z.shape[0], (batch,), generator=generator)
            some = None if label is None else label[rows]
            optimiser.zero_grad()
            flow.loss(z[rows], some, preconditioned=True, generator=generator).total.backward()
            optimiser.step()
            schedule.step()


def ratio(values: Sequence[float], others: Sequence[float]) -> str:
    """Return the geometric mean of ``values / others``, paired by seed, with its 95 % interval."""
    middle, half = interval([math.log(a / b) for a, b in zip(values, others, strict=True)])
    low, mean, high = (math.exp(v) for v in (middle - half, middle, middle + half))
    return f"{mean:.3g} [{low:.3g}, {high:.3g}]"


def spread(values: Sequence[float]) -> str:
    """Return the mean over seeds and half of its 95 % interval."""
    mean, half = interval(values)
    return f"{mean:.3g} +- {half:.2g}"


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
