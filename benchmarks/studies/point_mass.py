"""What a singular target costs: the point mass, uniform steps against the grid of theorem 3.

Everything is exact: the law of Euler-Maruyama by recursion, no sampling.

Run: ``python benchmarks/studies/point_mass.py --out FOLDER`` (writes point_mass.png and
step_grids.png to FOLDER, and benchmarks/results/point_mass.csv).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch
from first_steps import first_theorem3, first_uniform
from torch import Tensor

from precond_gm.closed_form import GaussianBridge, PointMassBridge
from precond_gm.plotting.bridges import plot_grid_cost
from precond_gm.plotting.step_grids import plot_step_grids
from precond_gm.solvers import grids

RESULT = Path(__file__).resolve().parents[1] / "results" / "point_mass.csv"
GRIDS = {"uniform": grids.early_stopping, "geometric": grids.geometric}
NEEDED = {"uniform": first_uniform, "theorem 3": first_theorem3}
DELTAS = (1 / 8, 1 / 32, 1 / 128)
Curves = dict[tuple[str, str], tuple[Tensor, Tensor]]


def kl(name: str, steps: int, delta: float) -> float:
    return float(PointMassBridge(0.0).marginal_kl(GRIDS[name](steps, delta=delta)))


def against_steps() -> Curves:
    steps = torch.logspace(0.9, 3.4, 26).round().long().unique()
    return {
        (name, f"delta 1/{round(1 / d)}"): (
            steps,
            torch.tensor([kl(name, int(n), d) for n in steps]),
        )
        for name in GRIDS
        for d in DELTAS
    }


def against_delta() -> Curves:
    deltas = 0.5 ** torch.linspace(2, 10, 33)
    return {
        (name, f"{n} steps"): (deltas, torch.tensor([kl(name, n, float(d)) for d in deltas]))
        for name in GRIDS
        for n in (32, 128, 512)
    }


def needed() -> Curves:
    deltas = 0.5 ** torch.arange(2.0, 9.0)
    return {
        (name, f"KL <= {level:g}"): (
            deltas,
            torch.tensor([first(level, float(d)) for d in deltas]),
        )
        for name, first in NEEDED.items()
        for level in (1e-3, 1e-4)
    }


def save(panels: dict[str, tuple[str, str, Curves]]) -> None:
    RESULT.parent.mkdir(exist_ok=True)
    with RESULT.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["panel", "grid", "parameter", "x", "x_value", "y", "y_value"])
        for panel, (x_name, y_name, curves) in panels.items():
            for (grid, parameter), (xs, ys) in curves.items():
                for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
                    row = [panel, grid, parameter, x_name, f"{x:.6g}", y_name, f"{y:.6g}"]
                    writer.writerow(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the figures")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    panels = {
        "against steps": ("steps", "kl", against_steps()),
        "against delta": ("delta", "kl", against_delta()),
        "steps needed": ("delta", "steps", needed()),
    }
    save(panels)
    figure = plot_grid_cost(*(curves for _, _, curves in panels.values()))
    figure.savefig(out / "point_mass.png")
    rough = GaussianBridge(0.0, 1.0, 0.0, 0.05).roughness
    shown = {
        "uniform": grids.uniform(32),
        "early-stopping": grids.early_stopping(32, delta=1 / 32),
        "geometric": grids.geometric(32, delta=1 / 32),
        "path-kl-optimal (variance 0.05)": grids.path_kl_optimal(32, roughness=rough),
        "edm": grids.edm(32),
        "shifted": grids.shifted(32),
    }
    plot_step_grids(shown).savefig(out / "step_grids.png")
    print(f"wrote {out / 'point_mass.png'} and {out / 'step_grids.png'}")


if __name__ == "__main__":
    main()
