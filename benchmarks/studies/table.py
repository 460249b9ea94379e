"""What the studies of objectives share: a table that can be continued, and intervals over seeds."""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import scipy.stats
import torch
from torch import Tensor
from tqdm import trange

import precond_gm as pg

RESULTS = Path(__file__).resolve().parents[1] / "results"
FIELDS = ("case", "seed", "steps", "metric", "at", "value")


class Table:
    """Long table of numbers in ``benchmarks/results``; a run that is in it is not run again.

    Args:
        name: Name of the file without suffix.
        steps: Training steps; rows of other budgets are dropped.
    """

    def __init__(self, name: str, steps: int) -> None:
        self.path = RESULTS / f"{name}.csv"
        self.steps = steps
        self.rows: list[dict[str, str]] = []
        if self.path.is_file():
            with self.path.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["steps"]) == steps]

    def has(self, case: str, seed: int) -> bool:
        """Whether this run is in the table."""
        return any(row["case"] == case and int(row["seed"]) == seed for row in self.rows)

    def add(self, case: str, seed: int, numbers: Iterable[tuple[str, float, float]]) -> None:
        """Add the numbers of a run, ``(metric, at, value)``, and write the file."""
        for metric, at, value in numbers:
            row = (case, seed, self.steps, metric, f"{at:.6g}", f"{value:.6g}")
            self.rows.append(dict(zip(FIELDS, map(str, row), strict=True)))
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    def _by_place(self, case: str, metric: str) -> dict[float, list[float]]:
        found: dict[float, list[float]] = defaultdict(list)
        for row in self.rows:
            if row["case"] == case and row["metric"] == metric:
                found[float(row["at"])].append(float(row["value"]))
        return dict(sorted(found.items()))

    def series(self, case: str, metric: str) -> tuple[list[float], list[tuple[float, float]]]:
        """Return where a metric was taken, and its ``(mean, half width)`` over seeds there."""
        found = self._by_place(case, metric)
        return list(found), [interval(values) for values in found.values()]

    def band(self, case: str, metric: str) -> tuple[list[float], np.ndarray]:
        """Return where a positive metric was taken, and geometric mean, low and high, ``3 places``.

        The interval is that of the logarithms, as fits an axis that is logarithmic.
        """
        found = self._by_place(case, metric)
        logs = [interval([math.log(v) for v in values]) for values in found.values()]
        centre = np.array([mean for mean, _ in logs])
        half = np.array([width if math.isfinite(width) else 0.0 for _, width in logs])
        return list(found), np.exp(np.stack([centre, centre - half, centre + half]))

    def compare(self, case: str, other: str, metric: str) -> str:
        """Say by how much a metric of two cases differs, paired by seed, with its interval."""
        by_seed: dict[str, dict[str, float]] = {case: {}, other: {}}
        for row in self.rows:
            if row["case"] in by_seed and row["metric"] == metric:
                by_seed[row["case"]][row["seed"]] = float(row["value"])
        seeds = sorted(by_seed[case].keys() & by_seed[other].keys())
        if not seeds:
            return f"{metric}: {case!r} and {other!r} share no seed"
        mean, half = interval([by_seed[case][s] - by_seed[other][s] for s in seeds])
        shown = "no difference shown" if abs(mean) <= half else "lower" if mean < 0 else "higher"
        return (
            f"{metric}: {case!r} less {other!r} is {mean:.3g} +- {half:.2g} over {len(seeds)} "
            f"seeds: {shown}"
        )

    def conclude(self, *lines: str) -> None:
        """Print what the numbers say, and keep it beside them."""
        text = json.dumps({"steps": self.steps, "conclusions": lines}, indent=1)
        self.path.with_suffix(".json").write_text(text + "\n")
        print(*lines, sep="\n")

    def print(self, cases: Sequence[str], metrics: Sequence[str]) -> None:
        """Print mean and 95 % half width over seeds of metrics taken at one place."""
        width = max(map(len, cases))
        print(" " * width, *(f"{metric:>24}" for metric in metrics))
        for case in cases:
            cells = []
            for metric in metrics:
                _, values = self.series(case, metric)
                cells.append(f"{values[0][0]:.4g} +- {values[0][1]:.2g}" if values else "-")
            print(f"{case:<{width}}", *(f"{cell:>24}" for cell in cells))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and half width of the 95 % t-interval; infinite for one value."""
    v = torch.tensor(values, dtype=torch.float64)
    if len(values) < 2:
        return float(v.mean()), math.inf
    factor = scipy.stats.t.ppf(0.975, len(values) - 1)
    return float(v.mean()), float(factor * v.std() / math.sqrt(len(values)))


def options(
    description: str | None, *, steps: int, seeds: int, data: str | None = None
) -> argparse.Namespace:
    """Read ``--steps``, ``--seeds``, ``--out`` and, where a study needs a data set, ``--data``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=steps, help="training steps of each run")
    parser.add_argument("--seeds", type=int, default=seeds, help="number of seeds")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the figures")
    if data is not None:
        default = Path("../shared/data") / data
        parser.add_argument("--data", type=Path, default=default, help="folder of the data set")
    return parser.parse_args()


def train(
    flow: pg.PreconditionedFlow,
    data: Tensor,
    steps: int,
    *,
    size: int,
    generator: torch.Generator,
    name: str,
    learning_rate: float = 1e-3,
    anneal: bool = False,
) -> Tensor:
    """Train with Adam and return the norm of the gradient at every step.

    With ``anneal`` the rate decays to zero as half a cosine, else it is constant.
    """
    parameters = [p for p in flow.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    last = 0.0 if anneal else learning_rate
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=last)
    norms = []
    for _ in trange(steps, desc=name, leave=False, mininterval=5):
        rows = torch.randint(data.shape[0], (size,), generator=generator)
        optimiser.zero_grad()
        flow.loss(data[rows], preconditioned=True, generator=generator).total.backward()
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in parameters]))
        optimiser.step()
        schedule.step()
    return torch.stack(norms)
