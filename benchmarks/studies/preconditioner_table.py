"""What every preconditioner does to conditioning: Gaussian labels, and a law that is not normal.

Gaussian: d = 16, eigenvalues from 1e-4 to 1e1, turned differently for each label; as many rows are
held out as are fitted. Sampling noise alone makes the largest condition number over t about
``1 + 4 sqrt(d / n_train + d / n_test)``. Bent: two labels of a parabola with noise, on which no
affine map can be exact. The condition number is the largest over labels and over t of
``(1 - t)^2 + t^2 eigenvalue``, on rows that no fit has seen. Run:

    python benchmarks/studies/preconditioner_table.py [--rows 100000] [--max-steps 300]
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
from precond_gm.preconditioners.judging import gaussian_log_density
from precond_gm.values import InverseKind

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "speed"))
from harness import commit

RESULTS = Path(__file__).resolve().parents[1] / "results"
DIM, LABELS = 16, 3
ITERATED_ROWS = 5_000  # held-out rows for maps whose log-determinant or inverse iterates
FIELDS = ("target", "name", "rows", "before", "after", "log_likelihood", "seconds", "commit")


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
    return torch.cat(x).float(), torch.arange(LABELS).repeat_interleave(rows)


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
        own = rows[label == index].double()
        values = torch.linalg.eigvalsh(torch.cov(own.T, correction=0))
        spectrum = (1 - t) ** 2 + t**2 * values
        worst = max(worst, float((spectrum.amax(1) / spectrum.amin(1)).max()))
    return worst


@torch.no_grad()
def judged(part: AbstractPreconditioner, x: Tensor, label: Tensor) -> tuple[float, float]:
    """Return the largest condition number and the mean log-likelihood of rows."""
    images = [part(rows, own) for rows, own in zip(x.split(2_048), label.split(2_048), strict=True)]
    z = torch.cat([image.value for image in images])
    log_det = torch.cat([image.log_abs_det for image in images])
    return worst_condition(z, label), float((gaussian_log_density(z) + log_det).mean())


class Kept:
    """The table on disk: a row that is measured again replaces its predecessor."""

    def __init__(self) -> None:
        self.path = RESULTS / "preconditioner_table.csv"
        self.rows: dict[tuple[str, str], dict[str, str]] = {}
        if self.path.is_file():
            with self.path.open(newline="") as file:
                self.rows = {(row["target"], row["name"]): row for row in csv.DictReader(file)}

    def add(self, row: dict[str, object]) -> None:
        """Add a row and write the table."""
        text = {k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in row.items()}
        self.rows[text["target"], text["name"]] = text
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows[key] for key in sorted(self.rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="per label, fitted and held out")
    parser.add_argument("--max-steps", type=int, default=300, help="of flows")
    parser.add_argument("--names", default=None, help="comma-separated; all by default")
    parser.add_argument("--target", choices=("gaussian", "bent"), default=None)
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = given.names.split(",") if given.names else REGISTRY.names()
    table = Kept()
    noise = 1 + 4 * math.sqrt(2 * DIM / given.rows)
    print(f"sampling noise alone: {noise:.3f}", file=sys.stderr)
    for target in (gaussian, bent):
        if given.target not in (None, target.__name__):
            continue
        (x, label), (new, own) = target(given.rows, 0), target(given.rows, 1)
        before = worst_condition(new, own)
        for name in names:
            part = REGISTRY.create(name)
            start = time.perf_counter()
            try:
                part.fit(x, label, max_steps=given.max_steps)
            except ValueError as error:
                print(f"{target.__name__:<9}{name:<24}{error}", flush=True)
                continue
            seconds = time.perf_counter() - start
            rows, marks = new, own
            if part.inverse_kind is InverseKind.NUMERICAL:
                pick = torch.randperm(len(new), generator=torch.Generator().manual_seed(2))
                rows, marks = new[pick[:ITERATED_ROWS]], own[pick[:ITERATED_ROWS]]
            if name == "logit":
                low, high = part.bounds
                inside = ((rows > low) & (rows < high)).flatten(1).all(1)
                rows, marks = rows[inside], marks[inside]
            after, likelihood = judged(part, rows, marks)
            row = (target.__name__, name, len(rows), before, after, likelihood, seconds, commit())
            table.add(dict(zip(FIELDS, row, strict=True)))
            print(
                f"{target.__name__:<9}{name:<24}{before:>12.5g} ->{after:>12.5g}"
                f"{likelihood:>12.4f} nats{seconds:>9.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
