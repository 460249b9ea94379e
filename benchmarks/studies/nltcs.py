"""NLTCS, 16 bits whose states can all be counted: BCE and MSE, aligned and not.

The figure of merit is the cross-entropy of the test split under the law of the samples, in nats per
row, and the KL divergence to the test split's histogram. Beside it stand independent bits and the
training split's own histogram, judged in the same way.

Run: python benchmarks/studies/nltcs.py --data FOLDER --steps 3000 --seeds 3 --out FOLDER
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from table import Table, options, train
from torch import Tensor

import precond_gm as pg
from precond_gm.diagnostics import BinaryReport, binary
from precond_gm.errors import ObjectiveWarning
from precond_gm.objectives import BitLogits
from precond_gm.plotting.style import COLOURS, GREY, finish, new_figure

BITS, BATCH, SAMPLES, SOLVER_STEPS = 16, 512, 50_000, 25
BCE = ("bce", {"low": -1.0})
CASES = {
    "x1 by exact logit + net, BCE": {"prediction": "x1", "divergence": BCE},
    "x1 by logits, BCE": {"prediction": "x1", "divergence": BCE},
    "x1, MSE in x1 (aligned)": {"prediction": "x1"},
    "x1, MSE in velocity (singular)": {"prediction": "x1", "loss_space": "velocity"},
    "velocity, MSE in velocity (aligned)": {"prediction": "velocity"},
    "velocity, MSE in x1": {"prediction": "velocity", "loss_space": "x1"},
}
METRICS = ["cross_entropy", "kl", "pair_error", "triple_error", "c2st"]


def read(folder: Path, split: str) -> Tensor:
    """Read a split as signs."""
    rows = np.loadtxt(folder / f"nltcs.{split}.data", delimiter=",", dtype=np.uint8)
    return torch.as_tensor(rows).float() * 2 - 1


def numbers(report: BinaryReport) -> Iterator[tuple[str, float, float]]:
    """Reduce a report to rows of the table."""
    for key, value in report.as_metrics().items():
        yield key.removeprefix("binary/"), 0, value


def run(case: str, seed: int, steps: int, data: Tensor, test: Tensor) -> BinaryReport:
    """Train one case and judge its samples."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network: torch.nn.Module = pg.models.MLP(BITS, width=256, depth=2)
    if "exact logit" in case:
        network = BitLogits(network, pg.paths.LinearPath(), low=-1.0)
    flow = pg.wrap(network, event_shape=BITS, **CASES[case])
    train(flow, data, steps, size=BATCH, generator=generator, name=f"{case}, seed {seed}")
    parts = [
        flow.sample(10_000, steps=SOLVER_STEPS, generator=generator).x
        for _ in range(SAMPLES // 10_000)
    ]
    samples = torch.cat(parts)
    return binary(torch.where(samples > 0, 1.0, -1.0), test)


def draw(table: Table, out: Path) -> None:
    """Draw the divergence of every case beside the two yardsticks."""
    names = [*CASES, "training histogram", "independent bits"]
    figure, axes = new_figure(1, 1, size=(8.5, 0.5 * len(names) + 1.2))
    ax = axes[0, 0]
    for place, name in enumerate(reversed(names)):
        _, values = table.series(name, "kl")
        if values:
            mean, half = values[0]
            half = half if np.isfinite(half) else 0.0
            shade = COLOURS[0] if name in CASES else GREY
            ax.errorbar(mean, place, xerr=half, fmt="o", color=shade, capsize=3)
    ax.set_yticks(range(len(names)), list(reversed(names)), fontsize=8)
    ax.set_xscale("log")
    finish(ax, "NLTCS: exact divergence of samples", "KL(test || samples), nats", "")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "nltcs.png")


def main() -> None:
    """Run what is missing, print the summary, draw the figure."""
    chosen = options(__doc__, steps=3000, seeds=3, data="binary-nltcs")
    warnings.simplefilter("ignore", ObjectiveWarning)
    table = Table("nltcs", chosen.steps)
    data, test = read(chosen.data, "train"), read(chosen.data, "test")
    generator = torch.Generator().manual_seed(0)
    yardsticks = {
        "training histogram": data,
        "independent bits": torch.where(
            torch.rand(SAMPLES, BITS, generator=generator) < (data.mean(0) + 1) / 2, 1.0, -1.0
        ),
    }
    for name, samples in yardsticks.items():
        if not table.has(name, 0):
            table.add(name, 0, numbers(binary(samples, test)))
    for seed in range(chosen.seeds):
        for case in CASES:
            if not table.has(case, seed):
                found = run(case, seed, chosen.steps, data, test)
                table.add(case, seed, numbers(found))
    table.print([*CASES, *yardsticks], METRICS)
    offset, bce, mse, singular, aligned, bent = CASES
    pairs = [(offset, bce), (bce, mse), (mse, singular), (aligned, bent), (mse, aligned)]
    table.conclude(*(table.compare(*pair, metric) for pair in pairs for metric in ("kl", "c2st")))
    draw(table, chosen.out)


if __name__ == "__main__":
    main()
