"""The step size of bridge flows trained on handwritten digits, plain and whitened.

Run: python benchmarks/studies/digits_steps.py --out FOLDER
"""

from __future__ import annotations

import torch
from cells import folder, write

import precond_gm as pg
from precond_gm.data import ReadOptions, prepare, read
from precond_gm.diagnostics import (
    StepSizeComparison,
    assumptions,
    compare_step_sizes,
    early_stopping,
    schedules,
    step_size,
)
from precond_gm.values import Batch

TRAIN_STEPS, BATCH, T_MAX, WANTED = 2000, 128, 0.95, 2.0
STEPS, GRIDS = (8, 16, 32, 64), ("uniform", "path-kl-optimal")


def trained(name: str, train: Batch) -> pg.PreconditionedFlow:
    """Train a flow with x1-prediction, its default on the bridge."""
    source = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    flow = pg.wrap(
        pg.models.MLP(tuple(train.x.shape[1:]), num_labels=10, width=256, depth=3),
        preconditioner=name,
        path="brownian-bridge",
        num_labels=10,
    )
    flow.fit_preconditioner(train.x, train.label, generator=source)
    z = flow.precondition(train.x, train.label)
    optimiser = torch.optim.Adam(flow.field.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, TRAIN_STEPS)
    with torch.enable_grad():
        for _ in range(TRAIN_STEPS):
            part = torch.randint(z.shape[0], (BATCH,), generator=source)
            optimiser.zero_grad()
            loss = flow.loss(z[part], train.label[part], preconditioned=True, generator=source)
            loss.total.backward()
            optimiser.step()
            schedule.step()
    return flow


def rows_of(name: str, found: StepSizeComparison) -> list[dict[str, object]]:
    """Return one row per grid and number of steps."""
    rows = []
    for grid, report in found.studies.items():
        for i, n in enumerate(report.steps):
            row: dict[str, object] = {"map": name, "grid": grid, "steps": n}
            for quantity, value in report.quantities.items():
                row[quantity] = float(value[i])
                row[f"{quantity}_error"] = float(report.standard_errors[quantity][i])
            rows.append(row | {f"floor_{k}": v for k, v in report.floors.items()})
    return rows


def main() -> None:
    """Train, study, recommend, and confirm the advice on a fresh run."""
    out = folder(__doc__)
    data = prepare(read("digits", ReadOptions()))
    held_out = (data.test.x, data.test.label)
    rows, conclusions, studies = [], [], {}
    for name in ("identity", "whiten"):
        flow = trained(name, data.train)
        found = schedules(flow, grids=GRIDS, steps=STEPS, reference=held_out, t_max=T_MAX,
                          num_samples=512, name=f"digits, {name}")  # fmt: skip
        rows += rows_of(name, found)
        studies |= {f"{name}, {grid}": study for grid, study in found.studies.items()}
        best, advice = found.recommend(path_kl=WANTED)
        fresh = step_size(
            flow,
            grid=best,
            steps=(advice.steps, 2 * advice.steps),
            t_max=T_MAX,
            num_samples=512,
            generator=torch.Generator().manual_seed(99),
        )
        value, error = float(fresh.path_kl[0]), float(fresh.standard_errors["path_kl"][0])
        uniform = found.studies["uniform"]
        conclusions.append(
            f"{name}: {advice}; a fresh run has {value:.3g} +- {2 * error:.2g}. Slope of the path "
            f"divergence on the uniform grid {uniform.slopes['path_kl']}; W2 at 8 and 64 steps "
            f"{float(uniform.w2[0]):.3g} and {float(uniform.w2[-1]):.3g}, noise floor "
            f"{uniform.floors['w2']:.3g}."
        )
        print(conclusions[-1], flush=True)
        uniform.plot().savefig(out / f"digits_{name}.png")
        early = early_stopping(flow, reference=held_out, steps=32, num_samples=512,
                               deltas=(0.003, 0.01, 0.03, 0.1, 0.3))  # fmt: skip
        early.plot().savefig(out / f"digits_{name}_early_stopping.png")
        rows += [
            {"map": name, "grid": "uniform to 1 - delta", "steps": 32, "delta": float(d),
             "w2": float(early.w2[i]), "path_kl": float(early.path_kl[i])}
            for i, d in enumerate(early.delta)
        ]  # fmt: skip
        if name == "whiten":
            checks = assumptions(*held_out, flow=flow)
            checks.plot().savefig(out / "digits_assumptions.png")
            conclusions += [f"{c.name} {c.verdict}: {c.evidence}" for c in checks.checks]
    write("digits_steps", rows, conclusions)
    both = compare_step_sizes(studies)
    both.plot().savefig(out / "digits_path_kl.png")
    both.plot("energy").savefig(out / "digits_energy.png")


if __name__ == "__main__":
    with torch.no_grad():
        main()
