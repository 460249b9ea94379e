"""Conditioning against its floor, and its memory at sizes where a covariance is large.

The floor of 60,000 x 784 with ten labels is one ``X^T X`` in float64 and one eigendecomposition
per covariance that is reported (ten labels, all rows, within labels). Run:

    python benchmarks/speed/conditioning.py [--blocks 40] [--size main|cpu|streamed|wide]

The main size takes five seconds a block on one core, so about four minutes on two; each of its two
comparisons is saved as soon as it is there.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

import torch
from harness import line, paired, save, steady_allocator
from torch import Tensor

from precond_gm.diagnostics import conditioning

LABELS, COVARIANCES = 10, 12


def floor(x: Tensor) -> Tensor:
    rows = x.double()
    covariance = rows.T @ rows / x.shape[0]
    for _ in range(COVARIANCES):
        values = torch.linalg.eigvalsh(covariance)
    return values


def rows() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60_000, 784, generator=generator) * torch.logspace(-2, 1, 784)
    return x, torch.randint(0, LABELS, (60_000,), generator=generator)


def in_cpu_time(rounds: int) -> dict[str, Any]:
    """Compare processor seconds: what can be trusted on a machine that others use too."""
    x, label = rows()
    found: dict[str, list[float]] = {"floor": [], "with intervals": [], "without intervals": []}
    conditioning(x, label)
    for _ in range(rounds):
        for name, call in (
            ("floor", lambda: floor(x)),
            ("with intervals", lambda: conditioning(x, label)),
            ("without intervals", lambda: conditioning(x, label, intervals=False)),
        ):
            start = time.process_time()
            call()
            found[name].append(time.process_time() - start)
            print(name, found[name][-1], flush=True)
    return {"processor_seconds": found}


def main_size(blocks: int) -> None:
    x, label = rows()
    sizes = {"rows": x.shape[0], "dim": x.shape[1], "labels": LABELS, "covariances": COVARIANCES}
    results: dict[str, Any] = {}
    for name, options in (("with intervals", {}), ("without intervals", {"intervals": False})):
        results[name] = paired(
            lambda options=options: conditioning(x, label, **options),
            lambda: floor(x),
            blocks,
            warmup=1,
        )
        print(line(f"60,000 x 784, {name}", results[name]), flush=True)
        save("conditioning", {**sizes, "results": results})


def streamed_size() -> dict[str, Any]:
    """Batches that are made as they are read."""
    start = time.perf_counter()
    report = conditioning(Stream(100_000, 4_096), intervals=False)
    return _row(start, condition_number=report.worst)


def wide_size() -> dict[str, Any]:
    """Fewer rows than dimensions; the largest eigenvalue again by another method."""
    x = torch.randn(2_000, 196_608, generator=torch.Generator().manual_seed(0))
    x *= torch.logspace(0, -2, 196_608)
    start = time.perf_counter()
    report = conditioning(x, times=3)
    row = _row(start, largest=float(report.eigenvalues[-1, -1]))
    v, centre = torch.ones(196_608), x.mean(0)
    for _ in range(100):  # power iteration on the rows alone
        shadow = x @ v - centre @ v
        v = (shadow @ x - shadow.sum() * centre) / x.shape[0]
        size = v.norm()
        v /= size
    return row | {"largest_by_power_iteration": float(size)}


class Stream:
    """Batches of correlated rows that are made when they are read, twice the same."""

    def __init__(self, rows: int, dim: int, batch: int = 4_096) -> None:
        self.rows, self.dim, self.batch = rows, dim, batch

    def __iter__(self) -> Any:
        generator = torch.Generator().manual_seed(0)
        scale = torch.logspace(-1, 1, self.dim)
        for start in range(0, self.rows, self.batch):
            rows = min(self.batch, self.rows - start)
            yield torch.randn(rows, self.dim, generator=generator) * scale


def _row(start: float, **figures: float) -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds = time.perf_counter() - start
    return figures | {"seconds": seconds, "peak_gib_of_process": peak}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--size", choices=("main", "cpu", "streamed", "wide"), default="main")
    options = parser.parse_args()
    steady_allocator()
    if options.size == "main":
        main_size(options.blocks)
    elif options.size == "cpu":
        save("conditioning_cpu", {"results": in_cpu_time(options.blocks)})
    else:
        found = {"streamed": streamed_size, "wide": wide_size}[options.size]()
        print(found)
        save(f"conditioning_{options.size}", {"results": found})
