"""Paired timing: two callables, interleaved in blocks, compared by the median of their ratios.

Interleaving cancels slow drifts of the machine; the order alternates from block to block, so that
neither side always runs on a warm cache. One ratio per block, its median, and a bootstrap interval
of that median over blocks. A script calls ``steady_allocator`` first: see there.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

RESULTS = Path(__file__).resolve().parents[1] / "results"


def steady_allocator() -> None:
    """Start this script again with an allocator that keeps freed memory (glibc; else no effect).

    By default glibc gives the top of its heap back to the system and maps large blocks afresh, so
    rows of some hundred KiB are paged in again at every step: tens of thousands of page faults a
    run, up to a third of its time, and how many depends on what happened to be allocated last.
    Two equal loops then differ by 10 %. With this both sides have none.
    """
    keep = {"MALLOC_TRIM_THRESHOLD_": "1073741824", "MALLOC_MMAP_THRESHOLD_": "1073741824"}
    if not keep.keys() <= os.environ.keys():
        os.execve(sys.executable, sys.orig_argv, os.environ | keep)


def paired(
    a: Callable[[], Any],
    b: Callable[[], Any],
    blocks: int = 60,
    *,
    block_seconds: float = 0.02,
    turns: int = 1,
    warmup: int = 3,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Time ``a`` against ``b``.

    Args:
        a: The callable judged.
        b: The reference.
        blocks: Number of interleaved blocks, at least 40 for a figure that is reported.
        block_seconds: Least time of one measurement; short calls are repeated to reach it.
        turns: Turns that the two take in a block: for work that comes once in many calls, since the
            machine changes within a long block.
        warmup: Calls of each before anything is timed.
        seed: Seed of the bootstrap.
        clock: What is compared; ``time.process_time`` where calls are long and others use the
            machine.

    Returns:
        ``ratio`` (median of a/b), ``ratio_low``, ``ratio_high`` (95 % interval of the median),
        ``a_us``, ``b_us`` (median microseconds per call, or of all turns of a block), ``blocks``,
        ``calls_per_block``.
    """
    for _ in range(warmup):
        a()
        b()
    calls = max(1, round(block_seconds / max(_seconds(b, 1, clock), 1e-9)))
    times = np.zeros((blocks, 2))
    gc_was_on = gc.isenabled()
    gc.disable()
    try:
        for block, turn in itertools.product(range(blocks), range(turns)):
            for side in (0, 1) if (block + turn) % 2 == 0 else (1, 0):
                times[block, side] += _seconds((a, b)[side], calls, clock) / calls
    finally:
        if gc_was_on:
            gc.enable()
    ratios = times[:, 0] / times[:, 1]
    low, high = interval(ratios, seed)
    return {
        "ratio": float(np.median(ratios)),
        "ratio_low": low,
        "ratio_high": high,
        "a_us": float(np.median(times[:, 0]) * 1e6),
        "b_us": float(np.median(times[:, 1]) * 1e6),
        "blocks": blocks,
        "calls_per_block": calls,
    }


def save(name: str, record: dict[str, Any]) -> Path:
    """Write ``benchmarks/results/<name>.json``: the record, the machine and the commit."""
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{name}.json"
    full = {"machine": machine(), "commit": commit(), **record}
    target.write_text(json.dumps(full, indent=2) + "\n")
    print(f"wrote {target.relative_to(RESULTS.parents[1])}", file=sys.stderr)
    return target


def machine() -> dict[str, Any]:
    """Describe the machine, without naming it."""
    return {
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def commit() -> str:
    """Return the commit of the checkout, with ``+changes`` where files differ from it."""

    def git(*words: str) -> str:
        run = subprocess.run(
            ["git", *words], cwd=RESULTS.parent, capture_output=True, text=True, check=False
        )
        return run.stdout.strip()

    changed = git(
        "status", "--porcelain", "--untracked-files=no", "--", "../precond_gm", "../plugins"
    )
    return (git("rev-parse", "HEAD") or "unknown") + ("+changes" if changed else "")


def line(name: str, result: dict[str, Any]) -> str:
    """Format one comparison for the screen."""
    return (
        f"{name:<44} ratio {result['ratio']:.3f} "
        f"[{result['ratio_low']:.3f}, {result['ratio_high']:.3f}]   "
        f"{result['a_us']:.1f} us against {result['b_us']:.1f} us"
    )


def _seconds(call: Callable[[], Any], calls: int, clock: Callable[[], float]) -> float:
    _wait()
    start = clock()
    for _ in range(calls):
        call()
    _wait()
    return clock() - start


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def interval(ratios: np.ndarray, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(ratios), size=(4000, len(ratios)))
    low, high = np.quantile(np.median(ratios[draws], axis=1), [0.025, 0.975])
    return float(low), float(high)
