"""The step size of bridge flows trained on handwritten digits, plain and whitened.

Run: python benchmarks/studies/digits_steps.py --out FOLDER
"""

from __future__ import annotations

from pathlib import Path

import torch
from cells import Row, folder, once, pick, ratio, spread, train, write
from matplotlib.figure import Figure

import precond_gm as pg
from precond_gm.data import Prepared, ReadOptions, prepare, read
from precond_gm.diagnostics import (
    StepSizeComparison,
    assumptions,
    early_stopping,
    schedules,
    step_size,
)
from precond_gm.plotting.step_size import plot_curves

SEEDS, TRAIN_STEPS, BATCH, T_MAX, WANTED = 3, 4000, 128, 0.95, 2.0
STEPS, GRIDS, MAPS = (8, 16, 32, 64), ("uniform", "path-kl-optimal"), ("identity", "whiten")


def trained(name: str, data: Prepared, seed: int) -> pg.PreconditionedFlow:
    """Train a flow with x1-prediction, its default on the bridge."""
    torch.manual_seed(seed)
    flow = pg.wrap(
        pg.models.MLP(tuple(data.train.x.shape[1:]), num_labels=10, width=256, depth=3),
        preconditioner=name,
        path="brownian-bridge",
        num_labels=10,
    )
    train(flow, data.train.x, data.train.label, steps=TRAIN_STEPS, batch=BATCH, rate=1e-3,
          generator=torch.Generator().manual_seed(seed))  # fmt: skip
    return flow


def studied(name: str, data: Prepared, seed: int, out: Path) -> list[Row]:
    """Train, study, recommend, and confirm the advice on a fresh run; the last row holds that."""
    held_out = (data.test.x, data.test.label)
    flow = trained(name, data, seed)
    found = schedules(flow, grids=GRIDS, steps=STEPS, reference=held_out, t_max=T_MAX,
                      num_samples=512, name=f"digits, {name}")  # fmt: skip
    early = early_stopping(flow, reference=held_out, steps=32, num_samples=512,
                           deltas=(0.003, 0.01, 0.03, 0.1, 0.3))  # fmt: skip
    stopped = [
        {"grid": "uniform to 1 - delta", "steps": 32, "delta": float(d),
         "w2": float(early.w2[i]), "path_kl": float(early.path_kl[i])}
        for i, d in enumerate(early.delta)
    ]  # fmt: skip
    grid, advice = found.recommend(path_kl=WANTED)
    fresh = step_size(flow, grid=grid, steps=(advice.steps, 2 * advice.steps), t_max=T_MAX,
                      num_samples=512, generator=torch.Generator().manual_seed(99))  # fmt: skip
    last = {
        "grid": f"advised: {grid}",
        "steps": advice.steps,
        "path_kl": float(fresh.path_kl[0]),
        "path_kl_error": float(fresh.standard_errors["path_kl"][0]),
    }
    if seed == 0:
        found.studies["uniform"].plot().savefig(out / f"digits_{name}.png")
        found.plot().savefig(out / f"digits_{name}_grids.png")
        early.plot().savefig(out / f"digits_{name}_early_stopping.png")
        checks = assumptions(*held_out, flow=flow)
        checks.plot().savefig(out / f"digits_{name}_assumptions.png")
        last["assumptions"] = "; ".join(f"{c.name} {c.verdict}" for c in checks.checks)
    return [*rows_of(found), *stopped, last]


def rows_of(found: StepSizeComparison) -> list[Row]:
    """Return one row per grid and number of steps."""
    rows = []
    for grid, report in found.studies.items():
        for i, n in enumerate(report.steps):
            row: Row = {"grid": grid, "steps": n}
            for quantity, value in report.quantities.items():
                row[quantity] = float(value[i])
                row[f"{quantity}_error"] = float(report.standard_errors[quantity][i])
            row["slope"] = float(report.slopes["path_kl"])
            rows.append(row | {f"floor_{k}": v for k, v in report.floors.items()})
    return rows


def main() -> None:
    """Study every map and seed, and say what holds over the seeds."""
    out = folder(__doc__)
    data = prepare(read("digits", ReadOptions()))
    rows: list[Row] = []
    for seed in range(SEEDS):
        for name in MAPS:
            cell = {"map": name, "seed": seed, "train_steps": TRAIN_STEPS}
            rows += once(out / "digits_steps.jsonl", cell,
                         lambda n=name, s=seed: studied(n, data, s, out))  # fmt: skip

    def seeds(name: str, grid: str, key: str, steps: int) -> list[float]:
        return [r[key] for r in rows if (r["map"], r["grid"], r["steps"]) == (name, grid, steps)]

    conclusions = []
    for name in MAPS:
        advised = [r for r in rows if r["map"] == name and r["grid"].startswith("advised")]
        kept = sum(r["path_kl"] <= WANTED for r in advised)
        conclusions.append(
            f"{name}: {spread([r['steps'] for r in advised])} steps "
            f"({', '.join(sorted({r['grid'] for r in advised}))}) for path_kl <= {WANTED:g} up to "
            f"t = {T_MAX}; fresh runs have at most {max(r['path_kl'] for r in advised):.3g} and "
            f"keep the promise in {kept} of {SEEDS}. Slope of the path divergence on the uniform "
            f"grid {spread(seeds(name, 'uniform', 'slope', 8))}; W2 at 8 and 64 steps "
            f"{spread(seeds(name, 'uniform', 'w2', 8))} and "
            f"{spread(seeds(name, 'uniform', 'w2', 64))}, noise floor "
            f"{spread(seeds(name, 'uniform', 'floor_w2', 8))}."
        )
    gains = (seeds(name, "uniform", "path_kl", 64) for name in MAPS)
    conclusions.append(f"At 64 uniform steps whitening divides the path divergence by "
                       f"{ratio(*gains)} ({SEEDS} seeds).")  # fmt: skip
    checked = {r["map"]: r["assumptions"] for r in rows if r.get("assumptions")}
    conclusions += [f"Hypotheses, {name}: {text}." for name, text in checked.items()]
    write("digits_steps", rows, conclusions)
    draw(rows).savefig(out / "digits_steps.png")


def draw(rows: list[Row]) -> Figure:
    """Draw means over seeds of three errors against the number of steps."""
    panels = []
    for key, title in (("path_kl", "Path KL"), ("w2", "W2"), ("energy", "Energy distance")):
        curves = {}
        for name in MAPS:
            for grid in GRIDS:
                y = [pick(rows, "steps", key, map=name, grid=grid, steps=n)[1] for n in STEPS]
                curves[f"{name}, {grid}"] = (STEPS, [sum(v) / len(v) for v in y])
        if key != "path_kl":
            floor = pick(rows, "steps", f"floor_{key}", map=MAPS[0], grid=GRIDS[0], steps=8)[1]
            curves["noise floor"] = (STEPS, [sum(floor) / len(floor)] * len(STEPS))
        panels.append((f"{title}, mean over {SEEDS} seeds", curves))
    return plot_curves(panels, xlabel="number of steps")


if __name__ == "__main__":
    with torch.no_grad():
        main()
