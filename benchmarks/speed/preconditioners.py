"""Time, memory, round trip and conditioning of every preconditioner, over the dimension.

Every cell runs in a process of its own, so that its peak memory is its own, and tells each number
as soon as it is known. A cell that passes the limit is ended: what is known by then stands, of a
trained map at least the time of a step and of its two directions. Trained maps are fitted for ten
steps. At d = 64 the inverse of 256 rows is held against 50 Heun steps of the demo's MLP, in turns.
On one thread of a CPU all times are processor time, which other work on the machine changes little.
A cell that is in the results already is kept, unless it was ended by a smaller limit. Run, about
12 minutes:

    python benchmarks/speed/preconditioners.py [--limit 20] [--names whiten,spectral] [--device cpu]
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import multiprocessing
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch
from harness import RESULTS, save
from torch import Tensor

from precond_gm.models import MLP
from precond_gm.preconditioners import REGISTRY, AbstractPreconditioner
from precond_gm.preconditioners.flows import AbstractFlow
from precond_gm.solvers import Heun, integrate
from precond_gm.values import Batch

SHAPES: dict[int, tuple[int, ...]] = {
    2: (2,),
    16: (1, 4, 4),
    64: (1, 8, 8),
    784: (1, 28, 28),
    3072: (3, 32, 32),
    196_608: (3, 256, 256),
}
LARGE = ("channel", "low-rank", "patch", "spectral", "standardize")  # run at the last two as well
ROWS = {3072: 1_000, 196_608: 120}  # 4,000 elsewhere
STEPS, LABELS, TRIAL_ROWS, ROUNDS = 10, 4, 512, 3
KEY = ("name", "dim")
COLUMNS = (
    *KEY,
    *("step_ms", "fit_s", "forward_ms", "inverse_ms", "share_of_sampling", "memory_mib"),
    *("round_trip", "condition_before", "condition_after", "stopped_after_s", "refused"),
)
Cell = dict[str, Any]
Say = Callable[..., None]


def cell(pipe: Connection, name: str, dim: int, limit: int, device: str) -> None:
    """Measure one cell; send each number as soon as it is known."""
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    torch.set_num_threads(1)

    def say(**numbers: float | str) -> None:
        pipe.send({k: v if _is_plain(v) else str(v) for k, v in numbers.items()})

    try:
        _measure(say, name, dim, device)
    except ValueError as error:
        say(refused=str(error).splitlines()[0])


def _measure(say: Say, name: str, dim: int, device: str) -> None:
    rows = ROWS.get(dim, 4_000)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(rows, *SHAPES[dim], generator=draw)
    x = torch.sigmoid(x.cumsum(-1) / SHAPES[dim][-1] ** 0.5).to(device)
    label = (torch.arange(rows) % LABELS).to(device)
    batch = min(rows, 256 if device == "cpu" else 4_096)
    part = REGISTRY.create(name)
    before = _memory(device)
    if isinstance(part, AbstractFlow):
        part.fit(x[:TRIAL_ROWS], label[:TRIAL_ROWS], max_steps=1)
        say(step_ms=1e3 * _step(part, Batch(x[:batch], label[:batch]), draw, device))
        _both_ways(say, part, x[:batch], label[:batch], device)
    start = _clock(device)
    report = part.fit(x, label, max_steps=STEPS)
    say(
        fit_s=_clock(device) - start,
        steps=report.steps,
        round_trip=report.round_trip_error,
        condition_before=report.condition_before,
        condition_after=report.condition_after,
    )
    if not isinstance(part, AbstractFlow):
        _both_ways(say, part, x[:batch], label[:batch], device)
    say(memory_mib=(_memory(device) - before) / 2**20)


def _both_ways(
    say: Say, part: AbstractPreconditioner, x: Tensor, label: Tensor, device: str
) -> None:
    with torch.no_grad():
        z = part(x, label).value
        say(forward_ms=1e3 * _each(lambda: part(x, label), device))
        say(inverse_ms=1e3 * _each(lambda: part.inverse(z, label), device))
    if x[0].numel() == 64:
        say(share_of_sampling=_share(part, x[:256], label[:256], device))


def _step(part: AbstractFlow, rows: Batch, draw: torch.Generator, device: str) -> float:
    """Return the seconds of one gradient of the fit."""
    part.network.train().requires_grad_(True)
    seconds = _each(lambda: part.losses(rows, draw).mean().backward(), device)
    part.requires_grad_(False).eval()
    return seconds


def _share(part: AbstractPreconditioner, x: Tensor, label: Tensor, device: str) -> float:
    """Return the inverse's time over that of 50 Heun steps, the median of turns."""
    network = MLP(tuple(x.shape[1:]), num_labels=LABELS).to(device)
    times = torch.linspace(0, 1, 51, device=device)
    ratios = []
    with torch.no_grad():
        z = part(x, label).value
        for _ in range(ROUNDS):
            sampling = _each(lambda: integrate(network, Heun(), times, z, label=label), device)
            ratios.append(_each(lambda: part.inverse(z, label), device) / sampling)
    return sorted(ratios)[ROUNDS // 2]


def run(name: str, dim: int, limit: int, device: str) -> Cell:
    """Run a cell in a process of its own, for so many seconds of the processor at most."""
    context = multiprocessing.get_context("fork" if device == "cpu" else "spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=cell, args=(theirs, name, dim, limit, device))
    process.start()
    theirs.close()
    found = Cell()
    try:
        while True:
            found |= mine.recv()
    except EOFError:  # the cell is done, or its time is up
        process.join()
    if process.exitcode in (-signal.SIGXCPU, -signal.SIGKILL):
        return found | {"stopped_after_s": limit}
    return found | ({"refused": f"ended with {process.exitcode}"} if process.exitcode else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=20, help="processor seconds per cell")
    parser.add_argument("--names", default=None, help="comma-separated; all by default")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    file = "preconditioners" + ("" if given.device == "cpu" else f"_{given.device}")
    table = _kept(file)
    names = given.names.split(",") if given.names else REGISTRY.names()
    for name in names:  # what a backend's import takes is no cell's memory
        REGISTRY.load(name)
    for name in names:
        for dim in SHAPES:
            if dim > 784 and name not in LARGE:
                continue
            if not _is_done(table.get((name, dim)), given.limit):
                found = run(name, dim, given.limit, given.device)
                table[name, dim] = {"name": name, "dim": dim, **found}
                cells = [table[key] for key in sorted(table)]
                save(file, {"flow_steps": STEPS, "limit_s": given.limit, "cells": cells})
            print(_line(table[name, dim]), flush=True)
    _write(file, [table[key] for key in sorted(table)])


def _kept(file: str) -> dict[tuple[str, int], Cell]:
    path = RESULTS / f"{file}.json"
    cells = json.loads(path.read_text())["cells"] if path.is_file() else []
    return {(one["name"], one["dim"]): one for one in cells}


def _is_done(found: Cell | None, limit: int) -> bool:
    return found is not None and found.get("stopped_after_s", limit) >= limit


def _write(file: str, cells: list[Cell]) -> None:
    """Write the same cells as one table."""
    with (RESULTS / f"{file}.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for one in cells:
            writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in one.items()})


def _line(row: Cell) -> str:
    start = f"{row['name']:<24}{row['dim']:>8}  "
    if "refused" in row:
        return start + row["refused"][:110]
    numbers = "  ".join(
        f"{k} {v:.3g}" for k, v in row.items() if isinstance(v, (int, float)) and k != "dim"
    )
    return start + numbers


def _each(call: Callable[[], Any], device: str) -> float:
    """Return the seconds of a call, over half a second of them."""
    start, calls = _clock(device), 0
    while (passed := _clock(device) - start) < 0.5 or not calls:
        call()
        calls += 1
    return passed / calls


def _clock(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def _memory(device: str) -> float:
    if device != "cpu":
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _is_plain(value: float | str) -> bool:
    return isinstance(value, str) or math.isfinite(value)


if __name__ == "__main__":
    main()
