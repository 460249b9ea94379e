"""How long the command line takes to start: ``--help`` and ``list --names``, in fresh processes.

Processor time is given beside wall time, since wall time on a busy machine says little.

Run: python benchmarks/speed/startup.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness import save

COMMANDS = {"help": ["--help"], "list_names": ["list", "--names"]}
TARGETS = {"help": 0.3, "list_names": 1.0}
REPETITIONS = 15


def main() -> None:
    """Time each command in interleaved repetitions; print and save median and range."""
    program = str(Path(sys.executable).with_name("precond-gm"))
    wall: dict[str, list[float]] = {name: [] for name in COMMANDS}
    used: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPETITIONS):
        for name, words in COMMANDS.items():
            before, start = os.times(), time.perf_counter()
            subprocess.run([program, *words], check=True, capture_output=True)
            wall[name].append(time.perf_counter() - start)
            after = os.times()
            used[name].append(
                after.children_user
                + after.children_system
                - before.children_user
                - before.children_system
            )
    found = {
        name: {
            "target_s": TARGETS[name],
            "median_s": statistics.median(wall[name]),
            "fastest_s": min(wall[name]),
            "slowest_s": max(wall[name]),
            "median_processor_s": statistics.median(used[name]),
            "load": os.getloadavg()[0],
        }
        for name in COMMANDS
    }
    for name, row in found.items():
        print(
            f"{name:<12} {row['median_s']:.2f} s wall, {row['median_processor_s']:.2f} s processor"
        )
    save("startup", found)


if __name__ == "__main__":
    main()
