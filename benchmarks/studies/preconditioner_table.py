"""What every preconditioner does to conditioning: Gaussian labels, and a law that is not normal.

Gaussian: d = 16, eigenvalues from 1e-4 to 1e1, turned differently for each label; as many rows are
held out as are fitted. Sampling noise alone makes the largest condition number over t about
``1 + 4 sqrt(d / n_train + d / n_test)``. Bent: two labels of a parabola with noise, on which no
affine map can be exact. The condition number is the largest over labels and over t of
``(1 - t)^2 + t^2 eigenvalue``, on rows that no fit has seen.

Flows draw mini-batches from all rows, and stop after a number of steps or seconds. An image that is
slow to compute is judged on the rows that a number of seconds allow, in random order; the columns
say how many steps and rows that were, and what noise these rows alone would make. A row that is in
the table already is kept. Run, about 15 minutes:

    python benchmarks/studies/preconditioner_table.py [--rows 100000] [--names whiten,zuko.nsf]
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from precond_gm.preconditioners import REGISTRY, AbstractPreconditioner
from precond_gm.preconditioners.flows import AbstractFlow
from precond_gm.preconditioners.judging import gaussian_log_density
from precond_gm.values import Batch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "speed"))
from harness import commit

RESULTS = Path(__file__).resolve().parents[1] / "results"
DIM, LABELS = 16, 3
CHUNK = 3_000
FIELDS = (
    "target",
    "name",
    "fitted_rows",
    "steps",
    "held_out_rows",
    "before",
    "after",
    "noise_alone",
    "log_likelihood",
    "behind_whiten",
    "behind_error",
    "seconds",
    "commit",
)


def gaussian(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw one turned Gaussian per label."""
    draw = torch.Generator().manual_seed(seed)
    turn = torch.Generator().manual_seed(99)
    spectrum = torch.logspace(-4, 1, DIM, dtype=torch.float64).sqrt()
    x = []
    for label in range(LABELS):
        basis = torch.linalg.qr(torch.randn(DIM, DIM, generator=turn, dtype=torch.float64))[0]
        part = torch.randn(rows, DIM, generator=draw, dtype=torch.float64)
        x.append(part * spectrum @ basis.T + label)
    images = torch.cat(x).float().reshape(-1, 1, 4, 4)  # so that maps of images take them too
    return images, torch.arange(LABELS).repeat_interleave(rows)


def bent(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw two parabolas that bend in opposite directions, 2 features."""
    draw = torch.Generator().manual_seed(seed)
    u = torch.randn(2 * rows, 2, generator=draw)
    label = torch.arange(2 * rows) % 2
    sign = 2.0 * label - 1
    return torch.stack([u[:, 0], 0.3 * u[:, 1] + sign * u[:, 0].square()], 1), label


def worst_condition(rows: Tensor, label: Tensor) -> float:
    """Return the largest condition number of Sigma_t over labels and t, linear path."""
    t = torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]
    worst = 1.0
    for index in torch.unique(label):
        own = rows[label == index].flatten(1).double()
        values = torch.linalg.eigvalsh(torch.cov(own.T, correction=0))
        spectrum = (1 - t) ** 2 + t**2 * values
        worst = max(worst, float((spectrum.amax(1) / spectrum.amin(1)).max()))
    return worst


@torch.no_grad()
def image(part: AbstractPreconditioner, rows: Batch, seconds: float) -> tuple[Tensor, Tensor]:
    """Return image and log-likelihood of the first rows, as many as the time allows."""
    start, values, likelihood = time.perf_counter(), [], []
    for x, label in zip(rows.x.split(CHUNK), rows.label.split(CHUNK), strict=True):
        there = part(x, label)
        values.append(there.value)
        likelihood.append(gaussian_log_density(there.value) + there.log_abs_det)
        if time.perf_counter() - start > seconds:
            break
    return torch.cat(values), torch.cat(likelihood).double()


def domain(part: AbstractPreconditioner, rows: Batch) -> Tensor:
    """Return which rows a map takes: a bounded one refuses what lies beyond its bounds."""
    if not hasattr(part, "bounds"):
        return torch.ones(len(rows.x), dtype=torch.bool)
    low, high = part.bounds
    return ((rows.x > low) & (rows.x < high)).flatten(1).all(1)


class Kept:
    """The table on disk, by target and name."""

    def __init__(self) -> None:
        self.path = RESULTS / "preconditioner_table.csv"
        self.rows: dict[tuple[str, str], dict[str, str]] = {}
        if self.path.is_file():
            with self.path.open(newline="") as file:
                for row in csv.DictReader(file):
                    if tuple(row) == FIELDS:  # of this version of the study
                        self.rows[row["target"], row["name"]] = row

    def add(self, row: dict[str, object]) -> None:
        """Add a row and write the table."""
        text = {k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in row.items()}
        self.rows[text["target"], text["name"]] = text
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows[key] for key in sorted(self.rows))


def measured(
    name: str, train: Batch, held: Batch, whiten: Tensor, steps: int, seconds: float
) -> dict[str, object]:
    """Fit one map and judge it; ``whiten`` holds whitening's log-likelihood of every row."""
    part = REGISTRY.create(name)
    if isinstance(part, AbstractFlow):
        part.max_seconds = seconds
    start = time.perf_counter()
    report = part.fit(train.x, train.label, max_steps=steps)
    took = time.perf_counter() - start
    inside = domain(part, held)
    z, likelihood = image(part, Batch(held.x[inside], held.label[inside]), seconds / 3)
    used = Batch(held.x[inside][: len(z)], held.label[inside][: len(z)])
    behind = whiten[inside][: len(z)] - likelihood
    per_label = len(z) / len(torch.unique(used.label))
    dim = z[0].numel()
    return {
        "fitted_rows": report.num_rows,
        "steps": report.steps,
        "held_out_rows": len(z),
        "before": worst_condition(used.x, used.label),
        "after": worst_condition(z, used.label),
        "noise_alone": 1 + 4 * math.sqrt(dim * len(train.label.unique()) / len(train.x)
                                         + dim / per_label),
        "log_likelihood": float(likelihood.mean()),
        "behind_whiten": float(behind.mean()),
        "behind_error": float(behind.std() / len(behind) ** 0.5),
        "seconds": took,
        "commit": commit(),
    }  # fmt: skip


def shuffled(x: Tensor, label: Tensor) -> Batch:
    """Mix the labels, so that any first rows hold all of them."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(2))
    return Batch(x[order], label[order])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="per label, fitted and held out")
    parser.add_argument("--max-steps", type=int, default=2000, help="of flows")
    parser.add_argument("--seconds", type=float, default=12.0, help="of a fit; a third to judge it")
    parser.add_argument("--names", default=None, help="comma-separated; all by default")
    parser.add_argument("--target", choices=("gaussian", "bent"), default=None)
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = given.names.split(",") if given.names else REGISTRY.names()
    table = Kept()
    for draw in (gaussian, bent):
        target = draw.__name__
        if given.target not in (None, target):
            continue
        train, held = shuffled(*draw(given.rows, 0)), shuffled(*draw(given.rows, 1))
        base = REGISTRY.create("whiten")
        base.fit(train.x, train.label)
        _, whiten = image(base, held, math.inf)
        for name in names:
            if (target, name) not in table.rows:
                try:
                    row = measured(name, train, held, whiten, given.max_steps, given.seconds)
                except ValueError as error:
                    print(f"{target:<9}{name:<24}{error}", flush=True)
                    continue
                table.add({"target": target, "name": name, **row})
            said = table.rows[target, name]
            print(
                f"{target:<9}{name:<24}{said['before']:>8} -> {said['after']:>8} on"
                f" {said['held_out_rows']:>6} rows (noise {said['noise_alone']:>7}) "
                f"{said['log_likelihood']:>9} nats, behind whiten {said['behind_whiten']:>12}"
                f" +- {said['behind_error']:<12} {said['steps']:>5} steps {said['seconds']:>8} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
