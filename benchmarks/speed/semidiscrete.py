"""Semidiscrete pairing beside exact minibatch transport, over the size and dimension of the data.

Time per pair of both at a batch of 512, the time of the fit, its misfit, and the mean cost of the
pairs: exact transport in batches of k is biased, and its cost falls towards the semidiscrete one
as k grows; the k that gives the same cost is what the fit replaces.

    python benchmarks/speed/semidiscrete.py
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import torch
from harness import line, paired, save
from torch import Tensor

from precond_gm.couplings import REGISTRY

BATCHES = (32, 128, 512, 2048)


def data(n: int, dim: int) -> tuple[Tensor, torch.Generator]:
    """Return a mixture of twenty Gaussians of about unit variance."""
    draw = torch.Generator().manual_seed(n + dim)
    centre = torch.randn(20, dim, generator=draw)
    rows = 0.8 * centre[torch.randint(20, (n,), generator=draw)]
    return rows + 0.6 * torch.randn(n, dim, generator=draw), draw


def mean_cost(coupling: Any, points: Tensor, batch: int, draw: torch.Generator) -> float:
    """Return the mean squared distance of at least 4,096 pairs."""
    costs = []
    for _ in range(max(1, 4096 // batch)):
        rows = points[torch.randint(len(points), (batch,), generator=draw)]
        pair = coupling.pair(torch.randn(rows.shape, generator=draw), rows, generator=draw)
        costs.append((pair.z0 - pair.z1).square().sum(1).mean())
    return float(torch.stack(costs).mean())


def cell(n: int, dim: int, steps: int, blocks: int) -> dict[str, Any]:
    """Measure one size and dimension."""
    points, draw = data(n, dim)
    fitted, exact = REGISTRY.create("pot.semidiscrete", steps=steps), REGISTRY.create("ot")
    start = time.perf_counter()
    fitted.fit(points, generator=draw)
    seconds = time.perf_counter() - start
    rows, noise = points[:512], torch.randn(512, dim, generator=draw)
    record: dict[str, Any] = paired(
        lambda: fitted.pair(noise, rows), lambda: exact.pair(noise, rows), blocks
    )
    return {
        "points": n,
        "dim": dim,
        "fit_seconds": seconds,
        "misfit": fitted.misfit[-1],  # type: ignore[attr-defined]
        "cost": mean_cost(fitted, points, 512, draw),
        "cost_of_exact": {k: mean_cost(exact, points, k, draw) for k in BATCHES if k <= n},
        **record,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--largest", type=int, default=10_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the misfit is in the table
    sizes = [(n, d) for n in (1000, 10_000) for d in (2, 64, 784) if n <= args.largest]
    rows = []
    for n, dim in sizes:
        rows.append(cell(n, dim, args.steps, args.blocks))
        row = rows[-1]
        print(line(f"semidiscrete N={n} d={dim}", row), flush=True)
        print(f"  fit {row['fit_seconds']:.1f} s, misfit {row['misfit']:.3f}", flush=True)
    save("semidiscrete", {"batch": 512, "steps": args.steps, "rows": rows})


if __name__ == "__main__":
    main()
