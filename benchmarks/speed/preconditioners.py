"""Time, memory, round trip and conditioning of every preconditioner, over the dimension.

Every cell runs in a process of its own, so that its peak memory is its own; one that passes the
limit is ended, and what it had measured by then (at least the fit) is kept. Flows are fitted for a
few steps and timed per step. The share of the inverse in sampling is taken against 50 Heun steps
of the demo's MLP at d = 64. Run:

    python benchmarks/speed/preconditioners.py [--limit 300] [--names whiten,spectral] [--quick]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from harness import save

from precond_gm.models import MLP
from precond_gm.preconditioners import REGISTRY
from precond_gm.solvers import Heun, integrate

SHAPES: dict[int, tuple[int, ...]] = {
    2: (2,),
    16: (1, 4, 4),
    64: (1, 8, 8),
    784: (1, 28, 28),
    3072: (3, 32, 32),
    196_608: (3, 256, 256),
}
LARGE = ("channel", "low-rank", "patch", "spectral", "standardize")  # run at the last two as well
STEPS, LABELS = 10, 4


def cell(name: str, dim: int, device: str) -> None:
    """Measure one cell, and print each number as soon as it is known."""
    torch.set_num_threads(1)
    rows = {3072: 1_000, 196_608: 120}.get(dim, 4_000)
    batch = min(rows, 4_096 if device != "cpu" else 256)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(rows, *SHAPES[dim], generator=draw)
    x = torch.sigmoid(x.cumsum(-1) / SHAPES[dim][-1] ** 0.5).to(device)
    label = (torch.arange(rows) % LABELS).to(device)
    part = REGISTRY.create(name)
    before = _memory(device)
    start = time.perf_counter()
    report = part.fit(x, label, max_steps=STEPS)
    seconds = time.perf_counter() - start
    _say(fit_s=seconds, steps=report.steps, condition_after=report.condition_after)
    _say(condition_before=report.condition_before, round_trip=report.round_trip_error)
    chosen, own = x[:batch], label[:batch]
    with torch.no_grad():
        z = part(chosen, own).value
        _say(forward_ms=1e3 * _timed(lambda: part(chosen, own), device))
        _say(inverse_ms=1e3 * _timed(lambda: part.inverse(z, own), device))
    _say(memory_mib=(_memory(device) - before) / 2**20)


def sampling_seconds() -> float:
    """Return the time of 50 Heun steps of the demo's MLP, d = 64, batch 256."""
    torch.set_num_threads(1)
    network = MLP((64,), num_labels=LABELS)
    z, label = torch.randn(256, 64), torch.arange(256) % LABELS
    times = torch.linspace(0, 1, 51)
    with torch.no_grad():
        return _timed(lambda: integrate(network, Heun(), times, z, label=label), "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds per cell")
    parser.add_argument("--names", default=None, help="comma-separated; all by default")
    parser.add_argument("--quick", action="store_true", help="d up to 64 only")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cell", nargs=2, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cell:
        cell(given.cell[0], int(given.cell[1]), given.device)
        return
    sampling = sampling_seconds()
    device = "" if given.device == "cpu" else f"_{given.device}"
    record = {
        "sampling_ms": 1e3 * sampling,
        "flow_steps": STEPS,
        "limit_s": given.limit,
        "load_average": os.getloadavg()[0],  # above the number of cores, times are too long
    }
    table: list[dict[str, Any]] = []
    for name in given.names.split(",") if given.names else REGISTRY.names():
        for dim in SHAPES:
            if (given.quick and dim > 64) or (dim > 784 and name not in LARGE):
                continue
            row = {"name": name, "dim": dim, **_run(name, dim, given.limit, given.device)}
            if dim == 64 and "inverse_ms" in row:
                row["share_of_sampling"] = row["inverse_ms"] / (1e3 * sampling)
            table.append(row)
            print(_line(row), flush=True)
            save(f"preconditioners{device}", record | {"cells": table})  # a run may be cut off


def _run(name: str, dim: int, limit: float, device: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--cell", name, str(dim), "--device", device]
    found: dict[str, Any] = {}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
        output, last = done.stdout, (done.stderr.strip().splitlines() or [""])[-1]
        if done.returncode:
            found["refused"] = last
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode()
        found["stopped_after_s"] = limit
    for text in output.splitlines():
        found |= json.loads(text)
    return found


def _line(row: dict[str, Any]) -> str:
    if "refused" in row:
        return f"{row['name']:<24}{row['dim']:>8}  {row['refused'][:90]}"
    numbers = "  ".join(
        f"{key} {row[key]:.3g}" for key in row if isinstance(row[key], float) and key != "steps"
    )
    return f"{row['name']:<24}{row['dim']:>8}  {numbers}"


def _timed(call: Callable[[], Any], device: str) -> float:
    """Return the median seconds of a call, over a second or seven calls."""
    times: list[float] = []
    call()
    while len(times) < 3 or (sum(times) < 1 and len(times) < 7):
        _wait(device)
        start = time.perf_counter()
        call()
        _wait(device)
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def _memory(device: str) -> float:
    if device != "cpu":
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _say(**numbers: float) -> None:
    plain = {k: (v if math.isfinite(v) else str(v)) for k, v in numbers.items()}
    print(json.dumps(plain), flush=True)


if __name__ == "__main__":
    main()
