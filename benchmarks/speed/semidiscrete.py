"""Semidiscrete pairing beside exact minibatch transport, over the size and dimension of the data.

Time per pair of both at a batch of 512, the time of the fit, and the bias of both: how far the cost
of the pairs is from that of transport between the noise and the whole data set. That cost is the
dual value of the fitted potentials, a lower bound whose error is of second order in their misfit.
The bias of exact transport falls with the batch size; the size at which its line (in logarithms)
reaches the bias of the fit is what the fit replaces.

    python benchmarks/speed/semidiscrete.py
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from typing import Any

import torch
from harness import line, paired, save
from torch import Tensor

from precond_gm.couplings import REGISTRY

BATCHES = (32, 128, 512, 2048)
PAIRS = 8192  # pairs behind each cost
SIZES = [(1000, 2), (1000, 64), (1000, 784)]
SIZES += [(10_000, 2), (10_000, 64), (10_000, 784), (50_000, 64)]


def data(n: int, dim: int) -> tuple[Tensor, torch.Generator]:
    """Return a mixture of twenty Gaussians of about unit variance."""
    draw = torch.Generator().manual_seed(n + dim)
    centre = torch.randn(20, dim, generator=draw)
    rows = 0.8 * centre[torch.randint(20, (n,), generator=draw)]
    return rows + 0.6 * torch.randn(n, dim, generator=draw), draw


def bias_of_exact(points: Tensor, batch: int, whole: float, draw: torch.Generator) -> float:
    """Return the excess cost of exact transport in batches, from at least ``PAIRS`` pairs.

    The squares of the ends enter by their means over noise and data, so only products are sampled.
    """
    exact, products = REGISTRY.create("ot"), []
    for _ in range(max(1, PAIRS // batch)):
        rows = points[torch.randint(len(points), (batch,), generator=draw)]
        pair = exact.pair(torch.randn(rows.shape, generator=draw), rows, generator=draw)
        products.append((pair.z0 * pair.z1).sum(1).mean())
    squares = points.shape[1] + float(points.square().sum(1).mean())
    return squares - 2 * float(torch.stack(products).mean()) - whole


def whole_cost(fitted: Any, draw: torch.Generator) -> tuple[float, float, float]:
    """Return the dual value, and the bias of the fitted pairs with its standard error."""
    state = fitted.state_dict()
    potential, points = state["potentials"], state["points"]  # no two rows of ``data`` are equal
    prices = 2 * potential + points.square().sum(1)
    best, paid = [], []
    for _ in range(2 * PAIRS // 512):
        score = torch.addmm(potential, torch.randn(512, points.shape[1], generator=draw), points.T)
        top = score.max(1)
        best.append(top.values)
        paid.append(prices[top.indices])
    excess = torch.cat(paid) - prices.mean()
    dual = points.shape[1] - 2 * float(torch.cat(best).mean()) + float(prices.mean())
    return dual, float(excess.mean()), float(excess.std() / len(excess) ** 0.5)


def same_bias(biases: dict[int, float], wanted: float) -> float:
    """Extrapolate the last two batch sizes, as a power law, to a bias."""
    (k0, b0), (k1, b1) = list(biases.items())[-2:]
    if b0 <= 0 or b1 <= 0 or b1 >= b0:
        return math.nan
    return float(k1 * (b1 / max(wanted, 1e-12)) ** (math.log(k1 / k0) / math.log(b0 / b1)))


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
    whole, bias, error = whole_cost(fitted, draw)
    biases = {k: bias_of_exact(points, k, whole, draw) for k in BATCHES if k <= n}
    return {
        "points": n,
        "dim": dim,
        "fit_seconds": seconds,
        "misfit": fitted.misfit[-1],  # type: ignore[attr-defined]
        "cost": whole,
        "bias": bias,
        "bias_standard_error": error,
        "bias_of_exact": biases,
        "same_bias_at_batch": same_bias(biases, abs(bias) + 2 * error),  # at least
        "us_per_pair": record["a_us"] / 512,
        "exact_us_per_pair": record["b_us"] / 512,
        **record,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--largest", type=int, default=50_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the misfit is in the table
    rows: list[dict[str, Any]] = []
    for n, dim in (size for size in SIZES if size[0] <= args.largest):
        rows.append(cell(n, dim, args.steps, args.blocks))
        row = rows[-1]
        print(line(f"semidiscrete N={n} d={dim}", row), flush=True)
        exact = ", ".join(f"{k}: {b / row['cost']:.2%}" for k, b in row["bias_of_exact"].items())
        print(
            f"  fit {row['fit_seconds']:.1f} s, misfit {row['misfit']:.3f}; bias "
            f"{row['bias'] / row['cost']:.2%} +- {2 * row['bias_standard_error'] / row['cost']:.2%}"
            f" of the cost {row['cost']:.4g}; of exact transport in batches of {exact}; the same "
            f"from a batch of {row['same_bias_at_batch']:.0f}",
            flush=True,
        )
    save("semidiscrete", {"batch": 512, "steps": args.steps, "rows": rows})


if __name__ == "__main__":
    main()
