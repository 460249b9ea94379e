"""Whitening against identity, exact and trained: path divergence and steps against conditioning.

The target is normal with variances from 1/kappa to 1, or with one variance in every direction. A
whitened target is the unit normal, so its path divergence is that of d unit coordinates; with one
seed the whitened rows are the same for every target, so one network per seed serves them all. The
exact bridge in the network's coordinates gives the exact drift error.

Run: python benchmarks/studies/whitening_steps.py --out FOLDER
"""

from __future__ import annotations

from pathlib import Path

import torch
from cells import Row, folder, least, once, pick, ratio, spread, train, write
from matplotlib.figure import Figure

import precond_gm as pg
from precond_gm.closed_form import GaussianBridge
from precond_gm.diagnostics import step_size
from precond_gm.plotting.step_size import plot_curves
from precond_gm.solvers import grids

DIM, KAPPAS, AT, WANTED = 4, (10.0, 100.0, 1e3, 1e4), 64, 0.1
LAMBDAS, EQUAL, FEW = tuple(round(0.5 * 1.25**k, 4) for k in range(17)), (4.0, 9.0), 16
SEEDS, TRAIN_STEPS, BATCH, T_MAX = 4, 3000, 256, 0.98
STEPS, MAPS = (8, 16, 32, 64, 128), ("identity", "whiten")


def variances(kappa: float) -> torch.Tensor:
    """Return variances from 1/kappa to 1, equally spaced in the logarithm."""
    return torch.logspace(-float(torch.tensor(kappa).log10()), 0, DIM, dtype=torch.float64)


def bridge_to(variance: torch.Tensor) -> GaussianBridge:
    """Return the exact bridge from N(0, I)."""
    zero = torch.zeros_like(variance)
    return GaussianBridge(zero, 1.0, zero, variance)


def exact_rows() -> list[Row]:
    """Return path divergence at equal steps, and steps at equal path divergence."""
    rows: list[Row] = []
    for kappa in KAPPAS:
        for name, v in (("identity", variances(kappa)), ("whiten", torch.ones(DIM).double())):
            bridge = bridge_to(v)
            rows.append({
                "kind": "exact", "at": kappa, "map": name, "steps": AT,
                "path_kl": float(bridge.path_kl(grids.uniform(AT))),
                "needed": least(
                    lambda n, b=bridge: float(b.path_kl(grids.uniform(n))), WANTED, start=16
                ),
            })  # fmt: skip
    for value in LAMBDAS:
        bridge = bridge_to(torch.tensor([value]).double())
        path_kl = float(bridge.path_kl(grids.uniform(1024))) * 4 * 1024
        rows.append({"kind": "scan", "at": value, "map": "identity", "path_kl": path_kl})
    return rows


def trained(v: torch.Tensor, name: str, seed: int) -> list[Row]:
    """Return one network's path divergence, stopped at 0.98 where its drift is settled."""
    source = torch.Generator().manual_seed(seed)
    x = (torch.randn(20_000, DIM, generator=source).double() * v.sqrt()).float()
    torch.manual_seed(seed)
    flow = pg.wrap(
        pg.models.MLP(DIM, width=96, depth=2), preconditioner=name, path="brownian-bridge"
    )
    train(flow, x, steps=TRAIN_STEPS, batch=BATCH, rate=2e-3, generator=source)
    truth = bridge_to(v if name == "identity" else torch.ones(DIM).double())
    found = step_size(flow, reference=truth, steps=STEPS, num_samples=512, num_reference=512,
                      t_max=T_MAX)  # fmt: skip
    needed = _needed(found.steps, found.path_kl.tolist())
    return [
        {
            "steps": n, "path_kl": float(found.path_kl[i]), "needed": needed,
            "standard_error": float(found.standard_errors["path_kl"][i]),
            "drift_part": float(found.drift[i]), "step_part": float(found.discretisation[i]),
        }
        for i, n in enumerate(found.steps)
    ]  # fmt: skip


def _needed(steps: tuple[int, ...], path_kl: list[float]) -> float | None:
    """Return the steps for ``WANTED``, between those that were run by logarithms; or None."""
    x, y = torch.tensor(steps).log().tolist(), torch.tensor(path_kl).log().tolist()
    goal = float(torch.tensor(WANTED).log())
    for i in range(len(x) - 1):
        if y[i] >= goal >= y[i + 1]:
            share = (y[i] - goal) / (y[i] - y[i + 1])
            return float(torch.tensor(x[i] + share * (x[i + 1] - x[i])).exp())
    return None if y[-1] > goal else float(steps[0])


def trained_rows(file: Path) -> list[Row]:
    """Return the rows of every target, map and seed."""
    rows: list[Row] = []
    cells = [("trained", k, "identity", variances(k)) for k in KAPPAS]
    cells += [("equal", v, "identity", torch.full((DIM,), v).double()) for v in EQUAL]
    cells += [("trained", 1.0, "whiten", variances(KAPPAS[0]))]
    for seed in range(SEEDS):
        for kind, at, name, v in cells:
            cell = {"kind": kind, "at": at, "map": name, "seed": seed, "train_steps": TRAIN_STEPS}
            rows += once(file, cell, lambda v=v, n=name, s=seed: trained(v, n, s))
    return rows


def main() -> None:
    """Write the table, its conclusions and the figure."""
    out = folder(__doc__)
    learned = trained_rows(out / "whitening_steps.jsonl")
    rows = exact_rows() + learned
    at = {(r["kind"], r["at"], r["map"]): r for r in rows if r["kind"] == "exact"}

    def seeds(place: tuple[str, float, str], key: str, steps: int = AT) -> list[float]:
        return [r[key] for r in learned if (r["kind"], r["at"], r["map"]) == place
                and r["steps"] == steps]  # fmt: skip

    def needed(place: tuple[str, float, str]) -> str:
        found = seeds(place, "needed")
        return spread(found) if None not in found else f"over {STEPS[-1]}"

    white = ("trained", 1.0, "whiten")
    gains = [ratio(seeds(("trained", k, "identity"), "path_kl"), seeds(white, "path_kl"))
             for k in KAPPAS]  # fmt: skip
    costs = [ratio(seeds(white, "path_kl", FEW), seeds(("equal", v, "identity"), "path_kl", FEW))
             for v in EQUAL]  # fmt: skip

    exact = [at["exact", k, "identity"]["path_kl"] / at["exact", k, "whiten"]["path_kl"]
             for k in KAPPAS]  # fmt: skip
    saved = [(at["exact", k, "identity"]["needed"], at["exact", k, "whiten"]["needed"])
             for k in KAPPAS]  # fmt: skip
    worse = [r["at"] for r in rows if r["kind"] == "scan" and r["path_kl"] < 1]
    write("whitening_steps", rows, [
        f"With the exact drift and {AT} equal steps whitening divides the path divergence by "
        + ", ".join(f"{g:.3g} (kappa {k:.0e})" for g, k in zip(exact, KAPPAS, strict=True)) + ".",
        f"Steps for a path divergence of {WANTED} with the exact drift: "
        + ", ".join(f"{a if a else 'over 32768'} against {b} (kappa {k:.0e})"
                    for (a, b), k in zip(saved, KAPPAS, strict=True)) + ".",
        f"Trained networks ({TRAIN_STEPS} training steps, {SEEDS} seeds, to t = {T_MAX}, drift "
        f"error included): divided by "
        + ", ".join(f"{g} (kappa {k:.0e})" for g, k in zip(gains, KAPPAS, strict=True)) + ".",
        f"Their steps for a path divergence of {WANTED}: "
        + ", ".join(f"{needed(('trained', k, 'identity'))} (kappa {k:.0e})" for k in KAPPAS)
        + f" against {needed(white)} whitened.",
        f"One coordinate of variance {min(worse):.3g} to {max(worse):.3g} needs fewer steps than a "
        f"whitened one (theory: between 1 and 12.2): there whitening costs steps; trained, at "
        f"{FEW} steps, it multiplies the path divergence by "
        + ", ".join(f"{c} (variance {v:g})" for c, v in zip(costs, EQUAL, strict=True)) + ".",
    ])  # fmt: skip
    draw(rows).savefig(out / "whitening_steps.png")


def draw(rows: list[Row]) -> Figure:
    """Draw path divergence and steps against the condition number, and the scan of one variance."""
    means = [
        {"kind": "trained", "at": k, "map": name, "path_kl": sum(found) / len(found)}
        for k in KAPPAS
        for name in MAPS
        if (
            found := pick(
                rows,
                "at",
                "path_kl",
                kind="trained",
                map=name,
                steps=AT,
                at=k if name == "identity" else 1.0,
            )[1]
        )
    ]
    exact = [r for r in rows if r["kind"] == "exact" and r["needed"]]
    curves = [
        (f"Path KL at {AT} steps", {f"{m}, {k}": pick(rows if k == "exact" else means, "at",
         "path_kl", map=m, kind=k) for k in ("exact", "trained") for m in MAPS}),
        (f"Steps for a path KL of {WANTED}, exact", {m: pick(exact, "at", "needed", map=m)
         for m in MAPS}),
        ("Path KL over that of a whitened coordinate", {
            "one coordinate": pick(rows, "at", "path_kl", kind="scan"),
            "whitened": ([LAMBDAS[0], LAMBDAS[-1]], [1.0, 1.0])}),
    ]  # fmt: skip
    return plot_curves(curves, xlabel="condition number (third panel: variance)")


if __name__ == "__main__":
    with torch.no_grad():
        main()
