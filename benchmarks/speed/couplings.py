"""Pairs per second of every coupling, side by side with torchcfm's exact sampler.

torchcfm is not a dependency. Install it without its own (``pip install --no-deps torchcfm==1.0.7``)
to get the comparison; without it, only our side is measured, and that is said.

    python benchmarks/speed/couplings.py [--quick]
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import warnings
from typing import Any

import numpy as np
import torch
from harness import line, paired, save
from torch import Tensor

from precond_gm.couplings import REGISTRY

BLOCKS = {128: 60, 256: 60, 512: 40, 1024: 40, 2048: 10, 4096: 3}
OTHERS = ["pot.sinkhorn", "pot.unbalanced", "pot.partial", "label-cost", "gibbs-weighted"]


def batch(n: int, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return noise, a mixture of ten Gaussians of about unit variance, and their labels."""
    draw = torch.Generator().manual_seed(n + dim)
    label = torch.randint(10, (n,), generator=draw)
    centre = torch.randn(10, dim, generator=draw)
    z0, z1 = torch.randn(2, n, dim, generator=draw).unbind()
    return z0, 0.6 * z1 + 0.8 * centre[label], label


def torchcfm_sampler() -> Any:
    """Return torchcfm's exact plan sampler, or None where it is not installed."""
    try:
        module = importlib.import_module("torchcfm.optimal_transport")
    except ImportError:
        print("torchcfm is absent: only this package is measured", file=sys.stderr)
        return None
    return module.OTPlanSampler(method="exact")


def excess_and_use(sampler: Any, z0: Tensor, z1: Tensor) -> dict[str, float]:
    """Return how far torchcfm's plan is above the optimum, and the share of data rows it uses."""
    exact = REGISTRY.create("ot", within_label=False).pair(z0, z1)
    optimum = float((exact.z0 - z1).square().sum(1).mean())
    plan = sampler.get_map(z0, z1)
    cost = (torch.cdist(z0.double(), z1.double()) ** 2).numpy()
    _, columns = sampler.sample_map(plan, len(z1))
    return {
        "torchcfm_excess_cost": float((plan * cost).sum() / plan.sum() / optimum - 1),
        "torchcfm_rows_used": len(np.unique(columns)) / len(z1),
        "ours_rows_used": len(torch.unique(exact.z0, dim=0)) / len(z0),
    }


def raised_ms(z0: Tensor, z1: Tensor) -> float:
    """Return milliseconds of POT's solver with its limit raised, on torchcfm's cost."""
    import ot

    cost = (torch.cdist(z0, z1) ** 2).numpy()
    uniform = ot.unif(len(z0))
    start = time.perf_counter()
    ot.emd(uniform, uniform, cost, numItermax=10_000_000)
    return (time.perf_counter() - start) * 1e3


def compare(name: str, options: dict[str, Any], n: int, dim: int, sampler: Any) -> dict[str, Any]:
    """Time one coupling on one batch against torchcfm's exact sampler."""
    z0, z1, label = batch(n, dim)
    part = REGISTRY.create(name, **options)
    given = label if name == "label-cost" or not options else None
    draw = torch.Generator().manual_seed(0)

    def ours() -> None:
        part.pair(z0, z1, given, generator=draw)

    record: dict[str, Any] = {"coupling": name, "options": options, "n": n, "dim": dim}
    record["labelled"] = given is not None
    if sampler is None:
        ours()
        start = time.perf_counter()
        ours()
        record["a_us"] = (time.perf_counter() - start) * 1e6
    else:
        blocks = BLOCKS[n] if name == "ot" else 10
        record |= paired(ours, lambda: sampler.sample_plan(z0, z1), blocks, warmup=1)
        record["speedup"] = 1 / record["ratio"]
    record["pairs_per_second"] = n / record["a_us"] * 1e6
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="no batch above 1,024 rows")
    parser.add_argument("--largest", type=int, default=4096)
    limit = 1024 if (args := parser.parse_args()).quick else args.largest
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # torchcfm's early stops are counted as excess cost instead
    sampler, rows = torchcfm_sampler(), []
    for n in (size for size in BLOCKS if size <= limit):
        for dim in (2, 64, 784):
            row = compare("ot", {"within_label": False}, n, dim, sampler)
            if sampler is not None:
                z0, z1, _ = batch(n, dim)
                row |= excess_and_use(sampler, z0, z1)
                if row["torchcfm_excess_cost"] > 1e-6:
                    row["pot_raised_ms"] = raised_ms(z0, z1)
                print(line(f"ot n={n} d={dim}", row), flush=True)
            rows.append(row)
    for dim in (2, 64, 784):
        for name in ["ot", *OTHERS]:  # with labels, as they are used
            row = compare(name, {}, 512, dim, sampler)
            if sampler is not None:
                print(line(f"{name} n=512 d={dim}, labels", row), flush=True)
            rows.append(row)
    save("couplings", {"reference": "torchcfm 1.0.7 exact" if sampler else None, "rows": rows})


if __name__ == "__main__":
    main()
