"""How long the command line takes to start: ``--help`` and ``list --names``, in fresh processes.

Wall time is what a user waits; processor time beside it tells how much of that is the machine's
other work. Takes about 20 seconds on a quiet machine.

Run: python benchmarks/speed/startup.py [--repetitions 40]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import interval, save

COMMANDS = {"help": ["--help"], "list_names": ["list", "--names"]}
TARGETS = {"help": 0.3, "list_names": 1.0}


def main() -> None:
    """Time each command in interleaved repetitions; print and save medians with intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=40)
    repetitions = parser.parse_args().repetitions
    program = str(Path(sys.executable).with_name("precond-gm"))
    wall: dict[str, list[float]] = {name: [] for name in COMMANDS}
    used: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for words in COMMANDS.values():  # files are read from disk once
        subprocess.run([program, *words], check=True, capture_output=True)
    for _ in range(repetitions):
        for name, words in COMMANDS.items():
            before, start = children_seconds(), time.perf_counter()
            subprocess.run([program, *words], check=True, capture_output=True)
            wall[name].append(time.perf_counter() - start)
            used[name].append(children_seconds() - before)
    found = {name: summary(name, wall[name], used[name]) for name in COMMANDS}
    for name, row in found.items():
        print(
            f"{name:<12} {row['median_s']:.3f} s [{row['low_s']:.3f}, {row['high_s']:.3f}] wall, "
            f"{row['median_processor_s']:.3f} s processor, target {row['target_s']} s"
        )
    save("startup", {**found, "repetitions": repetitions})


def children_seconds() -> float:
    """Return the processor time of all children so far."""
    times = os.times()
    return times.children_user + times.children_system


def summary(name: str, wall: list[float], used: list[float]) -> dict[str, Any]:
    """Return the median wall time with its 95 % bootstrap interval, and what surrounds it."""
    low, high = interval(np.array(wall), seed=0)
    return {
        "target_s": TARGETS[name],
        "median_s": float(np.median(wall)),
        "low_s": low,
        "high_s": high,
        "fastest_s": min(wall),
        "slowest_s": max(wall),
        "median_processor_s": float(np.median(used)),
        "load": os.getloadavg()[0],
    }


if __name__ == "__main__":
    main()
