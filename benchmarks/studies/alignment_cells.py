"""The table prediction x loss space as the code prints it, with measured gradient norms beside it.

An untrained network has an error of order one at every t, so the gradient of its loss shows the
implied weight and nothing else. For each cell: the formula, the gradient norm at a few times, and
the power of 1 - t (and of t) with which the norm grows, beside the power of the formula.

Run: python benchmarks/studies/alignment_cells.py --out FOLDER (20 seconds of one core)
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import torch
from cells import Row, folder, write
from torch import Tensor

import precond_gm as pg
from precond_gm.diagnostics import alignment_table
from precond_gm.errors import ObjectiveWarning
from precond_gm.objectives import compose, implied_weight
from precond_gm.paths.base import AbstractPath
from precond_gm.plotting.style import COLOURS, finish, new_figure
from precond_gm.values import Pairing, TargetKind

ROWS, DIM, SEEDS = 1000, 16, 5
PATHS = ("linear", "brownian-bridge")
KINDS = [TargetKind.X1, TargetKind.VELOCITY, TargetKind.DRIFT, TargetKind.X0]
NEAR = [1e-4, 1e-3, 1e-2, 0.1]
TIMES = [*NEAR, 0.25, 0.5, 0.75, *(1 - e for e in reversed(NEAR))]


def norms(path: AbstractPath, have: TargetKind, want: TargetKind, seed: int) -> Tensor:
    """Return the norm of the gradient of an untrained network's loss at each time."""
    torch.manual_seed(seed)
    network = pg.models.MLP(DIM, width=64, depth=1).double()
    parameters = list(network.parameters())
    draw = torch.Generator().manual_seed(seed)
    z0, z1 = torch.randn(2, ROWS, DIM, generator=draw, dtype=torch.float64)
    objective = compose(path, prediction=have, loss_space=want, gaussian_source=True)
    found = []
    for at in TIMES:
        t = torch.full((ROWS,), at, dtype=torch.float64)
        sample = path.sample(Pairing(z0, z1.sign()), t, target=want, generator=draw)
        loss = objective(sample, network(t, sample.z_t)).total
        gradients = torch.autograd.grad(loss, parameters)
        found.append(torch.cat([g.flatten() for g in gradients]).norm())
    return torch.stack(found)


def power(values: Tensor, near: slice, offsets: list[float]) -> float:
    """Return the power of the distance to an end with which the values change next to it."""
    part = values[near]
    return float((part[1] / part[0]).log() / math.log(offsets[1] / offsets[0]))


def rows_of(name: str) -> list[Row]:
    """Measure every cell of a path, means over seeds."""
    path = pg.paths.REGISTRY.create(name)
    found = []
    for have in KINDS:
        for want in KINDS:
            text = alignment_table(path, gaussian_source=True).get(have, {}).get(want)
            if text is None:
                continue
            every = torch.stack([norms(path, have, want, seed) for seed in range(SEEDS)])
            mean = every.mean(0)
            half = 2.776 * every.std(0) / math.sqrt(SEEDS)  # Student's factor of five seeds
            ends = implied_weight(path, have, want, True).ends
            row: Row = {"path": name, "prediction": have.value, "loss_space": want.value}
            row |= {"formula": text, "power_at_1": ends.at_one, "power_at_0": ends.at_zero}
            row["measured_at_1"] = power(mean.flip(0), slice(0, 2), NEAR)
            row["measured_at_0"] = power(mean, slice(0, 2), NEAR)
            for at, value, width in zip(TIMES, mean.tolist(), half.tolist(), strict=True):
                row |= {f"norm_{at:g}": value, f"half_{at:g}": width}
            found.append(row)
            print(
                f"{name:16} {have.value:>9}-prediction, {want.value:>8}-loss: {text:24}"
                f" |g| at .01 .5 .99 .9999:"
                + "".join(f"{row[f'norm_{at:g}']:10.3g}" for at in (0.01, 0.5, 0.99, 0.9999))
            )
    return found


def draw(rows: list[Row], out: Path) -> None:
    """Draw the norms against t, a panel for each prediction and path."""
    figure, axes = new_figure(len(PATHS), len(KINDS), size=(15, 7))
    shades = dict(zip((kind.value for kind in KINDS), COLOURS, strict=False))
    places = [math.log10(t / (1 - t)) for t in TIMES]
    for line, name in zip(axes, PATHS, strict=True):
        for ax, kind in zip(line, KINDS, strict=True):
            for row in rows:
                if (row["path"], row["prediction"]) != (name, kind.value):
                    continue
                values = [row[f"norm_{at:g}"] for at in TIMES]
                label = f"{row['loss_space']}-loss: {row['formula']}"
                ax.plot(places, values, "o-", color=shades[row["loss_space"]], label=label, ms=3)
            ax.set_yscale("log")
            ax.set_xticks([-4, -2, 0, 2, 4], ["1e-4", "0.01", "0.5", "0.99", "1-1e-4"])
            finish(ax, f"{name}: {kind.value}-prediction", "t", "norm of the gradient")
            if ax.lines:
                ax.legend(fontsize=7, frameon=False)
            else:
                ax.text(0.5, 0.5, "not defined on this path", transform=ax.transAxes, ha="center")
    figure.savefig(out / "alignment_cells.png")


def main() -> None:
    """Print the table with its norms, write it and draw it."""
    out = folder(__doc__)
    warnings.simplefilter("ignore", ObjectiveWarning)  # singular cells are the subject
    rows = [row for name in PATHS for row in rows_of(name)]
    lines = []
    for name in PATHS:
        here = [row for row in rows if row["path"] == name]
        gap = max(
            abs(row[f"measured_at_{end}"] - row[f"power_at_{end}"])
            for row in here
            for end in (0, 1)
        )
        aligned = [row for row in here if row["prediction"] == row["loss_space"]]
        spread = {
            row["prediction"]: max(row[f"norm_{at:g}"] for at in TIMES)
            / min(row[f"norm_{at:g}"] for at in TIMES)
            for row in aligned
        }
        ratios = ", ".join(f"{kind} {ratio:.3g}" for kind, ratio in spread.items())
        lines.append(f"{name}: largest over smallest gradient norm of aligned cells: {ratios}")
        if name == "linear":
            lines.append(f"{name}: measured and predicted powers differ by at most {gap:.2f}")
    write("alignment_cells", rows, lines)
    draw(rows, out)


if __name__ == "__main__":
    main()
