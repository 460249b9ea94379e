"""Marginals of a trained diffusion flow against those of the interpolant (2409.08311, Theorem 1).

The learned SDE must have the law of ``z_t`` at every t, not only at the end. Each W2 stands beside
its noise floor: the same distance between two independent samples of the interpolant itself.

Run: python benchmarks/studies/dfm_marginals.py --out FOLDER
"""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import trange

import precond_gm as pg
from precond_gm.plotting.style import COLOURS, array, new_figure
from precond_gm.values import Pairing

RESULTS = Path(__file__).resolve().parents[1] / "results"
TIMES = (0.25, 0.5, 0.75, 1.0)
ROWS, REPEATS, SOLVER_STEPS = 2000, 5, 400


def target(n: int, generator: torch.Generator) -> Tensor:
    """Draw from eight Gaussians of deviation 0.2 on a circle of radius 2."""
    angle = torch.randint(8, (n,), generator=generator) * (math.pi / 4)
    centre = 2 * torch.stack([angle.cos(), angle.sin()], dim=1)
    return centre + 0.2 * torch.randn(n, 2, generator=generator)


def train(steps: int, generator: torch.Generator) -> tuple[pg.PreconditionedFlow, torch.nn.Module]:
    """Train the bridge with x1-prediction, its default."""
    torch.manual_seed(0)
    flow = pg.wrap(pg.models.MLP(2, width=256), path="brownian-bridge", event_shape=(2,))
    ema = AveragedModel(flow, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    optimiser = torch.optim.Adam(flow.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in trange(steps, desc="training"):
        optimiser.zero_grad()
        flow.loss(target(512, generator), generator=generator).total.backward()
        optimiser.step()
        schedule.step()
        ema.update_parameters(flow)
    return flow, ema


def interpolant(flow: pg.PreconditionedFlow, t: float, generator: torch.Generator) -> Tensor:
    """Draw from the law of z_t itself."""
    z1 = target(ROWS, generator)
    pairing = Pairing(torch.randn(ROWS, 2, generator=generator), z1)
    times = torch.full((ROWS,), t)
    point = flow.path.sample(pairing, times, target=flow.objective.loss_space, generator=generator)
    return point.z_t


def w2(a: Tensor, b: Tensor) -> float:
    """Exact W2 between two samples of one size."""
    cost = torch.cdist(a.double(), b.double()).square()
    i, j = linear_sum_assignment(cost.numpy())
    return float(cost[i, j].mean().sqrt())


def main() -> None:
    """Train, compare at four times, write a CSV and a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    flow, ema = train(options.steps, generator)
    figure, axes = new_figure(2, len(TIMES), size=(3.1 * len(TIMES), 6.4))
    rows = []
    drawn = [
        flow.sample(ROWS, steps=SOLVER_STEPS, field=ema, trajectory=True, generator=generator)
        for _ in range(REPEATS)
    ]
    for column, t in enumerate(TIMES):
        index = round(t * SOLVER_STEPS)
        states = [samples.trajectory[index] for samples in drawn if samples.trajectory is not None]
        learned = torch.tensor([w2(z, interpolant(flow, t, generator)) for z in states])
        floor = torch.tensor(
            [
                w2(interpolant(flow, t, generator), interpolant(flow, t, generator))
                for _ in range(REPEATS)
            ]
        )
        row = {
            "t": t,
            "w2": float(learned.mean()),
            "w2_standard_error": float(learned.std() / REPEATS**0.5),
            "floor": float(floor.mean()),
            "floor_standard_error": float(floor.std() / REPEATS**0.5),
        }
        rows.append(row)
        print("  ".join(f"{key} {value:.4f}" for key, value in row.items()))
        panels = (("interpolant", interpolant(flow, t, generator)), ("learned", states[0]))
        for line, (name, z) in enumerate(panels):
            ax = axes[line, column]
            ax.scatter(*array(z).T, s=2, color=COLOURS[line], alpha=0.5, linewidths=0)
            ax.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
            extra = f", W2 {row['w2']:.3f} (floor {row['floor']:.3f})" if line else ""
            ax.set_title(f"{name}, t = {t}{extra}", fontsize=9, loc="left")
    options.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out / "dfm_marginals.png")
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "dfm_marginals.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
