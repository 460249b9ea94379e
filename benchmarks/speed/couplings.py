"""Pairs per second of every coupling, side by side with torchcfm's samplers.

torchcfm is not a dependency. Install it without its own (``pip install --no-deps torchcfm==1.0.7``)
to get the comparison; without it, only our side is measured, and that is said.

In each block every coupling and torchcfm's exact sampler pair the same batch once, in an order that
alternates; a ratio is taken within its block. Where torchcfm has the same kind of plan (entropic,
unbalanced), its sampler is measured as well, at the same temperature. POT stops its simplex at
100,000 iterations, before the optimum from n = 2,048 on: the excess cost of its plan stands beside
its time, and the time with that limit raised beside both. ``pot.semidiscrete`` has its own script.

    python benchmarks/speed/couplings.py [--largest 1024]

All sizes take about ten minutes on one core, half of them torchcfm's at n = 4,096.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from harness import interval, save, steady_allocator
from torch import Tensor

from precond_gm.couplings import REGISTRY

BLOCKS = {128: 40, 256: 40, 512: 40, 1024: 40, 2048: 5, 4096: 2}
DIMS = (2, 64, 784)
OURS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "ot": ("ot", {"within_label": False}, False),
    "pot.sinkhorn": ("pot.sinkhorn", {"within_label": False}, False),
    "pot.unbalanced": ("pot.unbalanced", {"within_label": False}, False),
    "pot.partial": ("pot.partial", {"within_label": False}, False),
    "label-cost": ("label-cost", {}, True),
    "gibbs-weighted": ("gibbs-weighted", {}, False),
    "ot, within labels": ("ot", {}, True),
    "pot.sinkhorn, within labels": ("pot.sinkhorn", {}, True),
    "pot.unbalanced, within labels": ("pot.unbalanced", {}, True),
}
EXACT = "torchcfm exact"
SAME_KIND = {"pot.sinkhorn": "torchcfm sinkhorn", "pot.unbalanced": "torchcfm unbalanced"}
LARGEST_OF_SAME_KIND = 1024


def batch(n: int, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return noise, a mixture of ten Gaussians of about unit variance, and their labels."""
    draw = torch.Generator().manual_seed(n + dim)
    label = torch.randint(10, (n,), generator=draw)
    centre = torch.randn(10, dim, generator=draw)
    z0, z1 = torch.randn(2, n, dim, generator=draw).unbind()
    return z0, 0.6 * z1 + 0.8 * centre[label], label


def torchcfm() -> Any:
    """Return torchcfm's plan sampler, or None where it is not installed."""
    try:
        return importlib.import_module("torchcfm.optimal_transport").OTPlanSampler
    except ImportError:
        print("torchcfm is absent: only this package is measured", file=sys.stderr)
        return None


class Cell:
    """One size and dimension: what is called, and what it took."""

    def __init__(self, n: int, dim: int, sampler: Any) -> None:
        self.n, self.dim = n, dim
        self.z0, self.z1, self.label = batch(n, dim)
        draw = torch.Generator().manual_seed(0)
        self.calls: dict[str, Callable[[], Any]] = {}
        for name, (part, options, labelled) in OURS.items():
            coupling, label = REGISTRY.create(part, **options), self.label if labelled else None
            self.calls[name] = lambda c=coupling, y=label: c.pair(
                self.z0, self.z1, y, generator=draw
            )
        self.plan: Any = None
        if sampler is not None:
            self.calls[EXACT] = partial(self._sample, sampler(method="exact"))
            if n <= LARGEST_OF_SAME_KIND:
                self.calls |= self._same_kind(sampler)

    def _sample(self, sampler: Any) -> None:
        """Do what torchcfm's ``sample_plan`` does, and keep the plan."""
        self.plan = sampler.get_map(self.z0, self.z1)
        i, j = sampler.sample_map(self.plan, self.n)
        self.columns = j
        self.z0[i], self.z1[j]

    def _same_kind(self, sampler: Any) -> dict[str, Callable[[], Any]]:
        """Return torchcfm's entropic samplers, at our default temperatures for this batch."""
        cost = torch.cdist(self.z0, self.z1).square()
        unit = float(cost.mean() / cost.max())
        options = {"reg": 0.05 * unit, "reg_m": unit, "normalize_cost": True, "warn": False}
        return {
            name: partial(sampler(name.split()[1], **options).sample_plan, self.z0, self.z1)
            for name in SAME_KIND.values()
        }

    def measure(self, blocks: int) -> list[dict[str, Any]]:
        """Time all calls in blocks and return a row for each."""
        names = list(self.calls)
        if self.n <= LARGEST_OF_SAME_KIND:  # above, imports are done and a call takes seconds
            for call in self.calls.values():
                call()
        times: dict[str, list[float]] = {name: [] for name in names}
        gc.disable()
        for block in range(blocks):
            for name in names if block % 2 == 0 else reversed(names):
                start = time.perf_counter()
                self.calls[name]()
                times[name].append(time.perf_counter() - start)
        gc.enable()
        return [self._row(name, times) for name in names]

    def _row(self, name: str, times: dict[str, list[float]]) -> dict[str, Any]:
        seconds = float(np.median(times[name]))
        row = {
            "coupling": name,
            "n": self.n,
            "dim": self.dim,
            "blocks": len(times[name]),
            "ms": 1e3 * seconds,
            "pairs_per_second": self.n / seconds,
        }
        for other in (EXACT, SAME_KIND.get(name)):
            if other in times and name != EXACT:
                ratios = np.array(times[name]) / np.array(times[other])
                low, high = interval(ratios, 0)
                row[f"ratio to {other}"] = [float(np.median(ratios)), low, high]
        if name == EXACT:
            row |= self._quality()
        return row

    def _quality(self) -> dict[str, float]:
        """Return the excess cost of torchcfm's plan, the rows it uses, and POT's time in full."""
        import ot

        exact = REGISTRY.create("ot", within_label=False).pair(self.z0, self.z1)
        optimum = float((exact.z0 - self.z1).double().square().sum(1).mean())
        cost = torch.cdist(self.z0.double(), self.z1.double()).square().numpy()
        excess = float((self.plan * cost).sum() / self.plan.sum() / optimum - 1)
        found = {
            "excess_cost": excess,
            "rows_used": len(np.unique(self.columns)) / self.n,
            "our_rows_used": len(torch.unique(exact.z0, dim=0)) / self.n,
        }
        if excess > 1e-6:
            uniform, start = ot.unif(self.n), time.perf_counter()
            ot.emd(uniform, uniform, cost, numItermax=1_000_000_000)
            found["ms_with_the_limit_raised"] = 1e3 * (time.perf_counter() - start)
        return found


def show(row: dict[str, Any]) -> None:
    """Print a row."""
    text = f"n={row['n']:<5} d={row['dim']:<4} {row['coupling']:<30} {row['ms']:10.2f} ms"
    for key, value in row.items():
        if key.startswith("ratio"):
            text += "   {} {:.3f} [{:.3f}, {:.3f}]".format(key, *value)
    if "excess_cost" in row:
        text += f"   excess {row['excess_cost']:.2%}, rows used {row['rows_used']:.3f}"
        text += f" (ours {row['our_rows_used']:.3f})"
    if "ms_with_the_limit_raised" in row:
        text += f", limit raised {row['ms_with_the_limit_raised']:.0f} ms"
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=4096)
    parser.add_argument("--blocks", type=int, default=None, help="at most so many, for a trial")
    args = parser.parse_args()
    steady_allocator()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # torchcfm's early stops are counted as excess cost instead
    sampler, rows = torchcfm(), []
    for n, blocks in BLOCKS.items():
        for dim in DIMS if n <= args.largest else ():
            found = Cell(n, dim, sampler).measure(min(blocks, args.blocks or blocks))
            for row in found:
                show(row)
            rows += found
            save("couplings", {"reference": "torchcfm 1.0.7" if sampler else None, "rows": rows})


if __name__ == "__main__":
    main()
