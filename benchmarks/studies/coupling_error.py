"""The error of Euler-Maruyama against the coupling: independent, optimal, entropic, all exact.

For N(0, 1) and N(0, lambda) the covariance of the ends is 0, sqrt(lambda), and that of the
Schroedinger bridge, ``(sqrt(4 lambda + sigma^4) - sigma^2) / 2``.

Run: python benchmarks/studies/coupling_error.py --out FOLDER
"""

from __future__ import annotations

import math

import torch
from cells import folder, least, pick, write

from precond_gm.closed_form import GaussianBridge
from precond_gm.plotting.step_size import plot_curves
from precond_gm.solvers import grids

VARIANCES, SIGMAS, STEPS = (0.05, 0.25, 1.0, 4.0), (0.5, math.sqrt(2)), (8, 16, 32, 64, 128, 256)
NEARLY = 0.999  # an optimal pair has no joint density; its correlation is taken just below 1


def covariance(name: str, variance: float, sigma: float) -> float:
    """Return the covariance of the ends."""
    return {
        "independent": 0.0,
        "optimal": NEARLY * math.sqrt(variance),
        "entropic": (math.sqrt(4 * variance + sigma**4) - sigma**2) / 2,
    }[name]


def main() -> None:
    """Write the table, its conclusions and the figure."""
    out, rows = folder(__doc__), []
    for sigma in SIGMAS:
        for variance in VARIANCES:
            for name in ("independent", "entropic", "optimal"):
                cross = covariance(name, variance, sigma)
                bridge = GaussianBridge(0.0, 1.0, 0.0, variance, cross=cross, sigma=sigma)
                needed = least(lambda n, b=bridge: float(b.path_kl(grids.uniform(n))), 0.01)
                for n in STEPS:
                    times = grids.uniform(n)
                    rows.append({
                        "sigma": round(sigma, 4), "variance": variance, "coupling": name,
                        "covariance": cross, "steps": n,
                        "path_kl": float(bridge.path_kl(times)),
                        "marginal_kl": float(bridge.marginal_kl(times)),
                        "w2": float(bridge.w2(times)), "steps_for_0.01": needed,
                    })  # fmt: skip
    at = {(r["sigma"], r["variance"], r["coupling"]): r for r in rows if r["steps"] == 64}
    s, wins = round(SIGMAS[-1], 4), {}
    for sigma in SIGMAS:
        for v in VARIANCES:
            cells = {c: at[round(sigma, 4), v, c] for c in ("independent", "entropic", "optimal")}
            wins[round(sigma, 4), v] = min(cells, key=lambda c: cells[c]["path_kl"])
    unit = {c: at[s, 1.0, c] for c in ("independent", "entropic", "optimal")}
    write("coupling_error", rows, [
        "At equal steps (64) and the DFM noise, N(0,1) to N(0,1), W2 is "
        + ", ".join(f"{c} {unit[c]['w2']:.4f}" for c in unit)
        + ": coupled ends make the generated law worse.",
        "Steps for a path divergence of 0.01 there: "
        + ", ".join(f"{c} {unit[c]['steps_for_0.01']}" for c in unit)
        + ": the path divergence ranks couplings otherwise than W2 does.",
        "Least path divergence at 64 steps, (sigma, variance) -> coupling: "
        + "; ".join(f"({k[0]}, {k[1]}) {v}" for k, v in wins.items()) + ".",
    ])  # fmt: skip
    figure = plot_curves(
        [
            (f"Path KL, variance {v}, sigma {x:.2f}", {c: pick(rows, "steps", "path_kl",
             coupling=c, variance=v, sigma=round(x, 4)) for c in unit})
            for x in SIGMAS for v in (0.05, 1.0)
        ],
        xlabel="number of steps",
    )  # fmt: skip
    figure.savefig(out / "coupling_error.png")


if __name__ == "__main__":
    with torch.no_grad():
        main()
