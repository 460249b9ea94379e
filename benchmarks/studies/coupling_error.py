"""The error of Euler-Maruyama against the coupling: independent, optimal, entropic.

Exact: for N(0, 1) and N(0, lambda) the covariance of the ends is 0, sqrt(lambda), and that of the
Schroedinger bridge, ``(sqrt(4 lambda + sigma^4) - sigma^2) / 2``. Trained: networks that saw pairs
of minibatches of 256, on such a target, beside its exact bridge, and on four modes in the plane,
whose exact bridge is not known for coupled ends, beside held-out rows.

Run: python benchmarks/studies/coupling_error.py --out FOLDER
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from cells import Row, folder, least, once, pick, ratio, spread, train, write
from matplotlib.figure import Figure

import precond_gm as pg
from precond_gm.closed_form import GaussianBridge, GaussianMixtureBridge
from precond_gm.diagnostics import step_size
from precond_gm.plotting.step_size import plot_curves
from precond_gm.solvers import grids

VARIANCES, SIGMAS, STEPS = (0.05, 0.25, 1.0, 4.0), (0.5, math.sqrt(2)), (8, 16, 32, 64, 128, 256)
NAMES = ("independent", "entropic", "optimal")
NEARLY = 0.999  # an optimal pair has no joint density; its correlation is taken just below 1
TARGETS = ("normal 0.25", "four modes")
SEEDS, TRAIN_STEPS, BATCH, T_MAX, RUN = 3, 1500, 256, 0.98, (4, 8, 16, 32, 64)


def covariance(name: str, variance: float, sigma: float) -> float:
    """Return the covariance of the ends."""
    return {
        "independent": 0.0,
        "optimal": NEARLY * math.sqrt(variance),
        "entropic": (math.sqrt(4 * variance + sigma**4) - sigma**2) / 2,
    }[name]


def bridge_to(name: str, variance: float, sigma: float) -> GaussianBridge:
    """Return the exact bridge from N(0, 1) to N(0, variance) with coupled ends."""
    cross = covariance(name, variance, sigma)
    return GaussianBridge(0.0, 1.0, 0.0, variance, cross=cross, sigma=sigma)


def exact_rows() -> list[Row]:
    """Return errors of the exact drift, and the steps for a path divergence of 0.01."""
    rows: list[Row] = []
    for sigma in SIGMAS:
        for variance in VARIANCES:
            for name in NAMES:
                bridge = bridge_to(name, variance, sigma)
                needed = least(lambda n, b=bridge: float(b.path_kl(grids.uniform(n))), 0.01)
                for n in STEPS:
                    times = grids.uniform(n)
                    rows.append({
                        "kind": "exact", "sigma": round(sigma, 4), "target": f"normal {variance}",
                        "coupling": name, "steps": n,
                        "path_kl": float(bridge.path_kl(times)),
                        "marginal_kl": float(bridge.marginal_kl(times)),
                        "w2": float(bridge.w2(times)), "steps_for_0.01": needed,
                    })  # fmt: skip
    return rows


def coupling_of(name: str, sigma: float) -> Any:
    """Return the coupling of minibatches that has the exact one as its limit."""
    entropic = ("pot.sinkhorn", {"epsilon": 2 * sigma**2, "relative": False})
    return {"independent": "independent", "optimal": "pot.exact", "entropic": entropic}[name]


def four_modes() -> GaussianMixtureBridge:
    """Return the target in the plane: modes on a circle of radius 1.5, variance 0.05."""
    angle = torch.arange(4) * (math.pi / 2) + 0.4
    return GaussianMixtureBridge(
        [0.25] * 4, 1.5 * torch.stack((angle.cos(), angle.sin()), 1).double(), 0.05
    )


def trained(target: str, name: str, sigma: float, seed: int) -> list[Row]:
    """Train one network on coupled ends and study its steps."""
    source = torch.Generator().manual_seed(seed)
    is_normal = target != "four modes"
    law = GaussianBridge(0.0, 1.0, 0.0, 0.25) if is_normal else four_modes()
    x = law.marginal(1.0).sample(20_000, generator=source).float()
    torch.manual_seed(seed)
    flow = pg.wrap(
        pg.models.MLP(x.shape[1], width=64, depth=2), coupling=coupling_of(name, sigma),
        path=("brownian-bridge", {"sigma": sigma}),
    )  # fmt: skip
    train(flow, x, steps=TRAIN_STEPS, batch=BATCH, rate=2e-3, generator=source)
    reference = bridge_to(name, 0.25, sigma) if is_normal else x[:4096]
    found = step_size(flow, reference=reference, steps=RUN, num_samples=1024, num_reference=512,
                      t_max=T_MAX)  # fmt: skip
    return [
        {"steps": n, "standard_error": float(found.standard_errors["path_kl"][i])}
        | {k: float(v[i]) for k, v in found.quantities.items() if k != "strong_error"}
        | {f"floor_{k}": v for k, v in found.floors.items()}
        for i, n in enumerate(found.steps)
    ]  # fmt: skip


def trained_rows(file: Path) -> list[Row]:
    """Return the rows of every noise, target, coupling and seed."""
    rows: list[Row] = []
    for seed in range(SEEDS):
        for sigma in SIGMAS:
            for target in TARGETS:
                for name in NAMES:
                    cell = {"kind": "trained", "sigma": round(sigma, 4), "target": target,
                            "coupling": name, "seed": seed, "train_steps": TRAIN_STEPS}  # fmt: skip
                    rows += once(
                        file, cell,
                        lambda t=target, c=name, x=sigma, s=seed: trained(t, c, x, s),
                    )  # fmt: skip
    return rows


def main() -> None:
    """Write the table, its conclusions and the figure."""
    out = folder(__doc__)
    learned = trained_rows(out / "coupling_error.jsonl")
    rows = exact_rows() + learned
    at = {(r["sigma"], r["target"], r["coupling"]): r for r in rows
          if r["kind"] == "exact" and r["steps"] == 64}  # fmt: skip
    wins = {}
    for sigma in SIGMAS:
        for v in VARIANCES:
            here = (round(sigma, 4), f"normal {v}")
            wins[here] = min(NAMES, key=lambda c, h=here: at[*h, c]["path_kl"])
    noise = [round(s, 4) for s in SIGMAS]
    unit = {c: at[noise[-1], "normal 1.0", c] for c in NAMES}

    def seeds(sigma: float, target: str, name: str, key: str, steps: int) -> list[float]:
        return pick(learned, "steps", key, sigma=sigma, target=target, coupling=name,
                    steps=steps)[1]  # fmt: skip

    def over_seeds(sigma: float, target: str, key: str, steps: int) -> str:
        return ", ".join(f"{c} {spread(seeds(sigma, target, c, key, steps))}" for c in NAMES)

    least_trained = {
        (s, t): min(NAMES, key=lambda c, s=s, t=t: sum(seeds(s, t, c, "path_kl", 64)))
        for s in noise for t in TARGETS
    }  # fmt: skip
    gain = {s: ratio(seeds(s, TARGETS[1], "independent", "path_kl", 16),
                     seeds(s, TARGETS[1], "optimal", "path_kl", 16)) for s in noise}  # fmt: skip
    write("coupling_error", rows, [
        "Exact, at equal steps (64) and the DFM noise, N(0,1) to N(0,1): W2 is "
        + ", ".join(f"{c} {unit[c]['w2']:.4f}" for c in unit)
        + ": coupled ends make the generated law worse.",
        "Exact, steps for a path divergence of 0.01 there: "
        + ", ".join(f"{c} {unit[c]['steps_for_0.01']}" for c in unit)
        + ": the path divergence ranks couplings otherwise than W2 does.",
        "Exact, least path divergence at 64 steps, (sigma, target) -> coupling: "
        + "; ".join(f"({k[0]}, {k[1]}) {v}" for k, v in wins.items()) + ".",
        f"Trained ({SEEDS} seeds), least path divergence at 64 steps: "
        + "; ".join(f"({k[0]}, {k[1]}) {v}" for k, v in least_trained.items()) + ".",
        "Trained, N(0, 0.25), drift error included, path divergence at 64 steps: "
        + "; ".join(f"sigma {s}: {over_seeds(s, TARGETS[0], 'path_kl', 64)}" for s in noise) + ".",
        "Trained, four modes, of the network's own process: optimal pairs divide the path "
        "divergence at 16 steps by "
        + ", ".join(f"{g} (sigma {s})" for s, g in gain.items()) + "; energy distance to held-out "
        "rows at 8 steps: "
        + "; ".join(f"sigma {s}: {over_seeds(s, TARGETS[1], 'energy', 8)}" for s in noise) + ".",
    ])  # fmt: skip
    draw(rows).savefig(out / "coupling_error.png")


def draw(rows: list[Row]) -> Figure:
    """Draw the path divergence against the number of steps, exact and trained."""
    panels = []
    for sigma in (round(s, 4) for s in SIGMAS):
        for target in ("normal 0.05", "normal 1.0"):
            panels.append((f"Exact, {target}, sigma {sigma:.2f}", {c: pick(
                rows, "steps", "path_kl", kind="exact", coupling=c, target=target, sigma=sigma)
                for c in NAMES}))  # fmt: skip
        curves = {}
        for c in NAMES:
            y = [pick(rows, "steps", "path_kl", kind="trained", coupling=c, target=TARGETS[1],
                      sigma=sigma, steps=n)[1] for n in RUN]  # fmt: skip
            curves[c] = (RUN, [sum(v) / len(v) for v in y])
        panels.append((f"Trained, four modes, sigma {sigma:.2f}", curves))
    return plot_curves(panels, xlabel="number of steps")


if __name__ == "__main__":
    with torch.no_grad():
        main()
