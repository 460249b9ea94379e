"""What the Observer costs the demo's training, at its default interval of 500 steps.

Two of the package's loops train the same network from the same weights on the same batches, one
observed and one not. A block is 500 steps of each, in turns of 25, so every block holds exactly one
observation (1,024 rows at 5 times, 64 directions) and the copies of the rows before it. The default
of twenty blocks is 10,000 steps of each side. Compared is processor time: blocks last seconds.

Run: python benchmarks/speed/observer.py
"""

from __future__ import annotations

import argparse
import time

import torch
from harness import line, paired, save, steady_allocator
from training_loop import demo, packaged

EVERY, TURNS = 500, 20


def main() -> None:
    """Compare the two and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--variant", default="whiten")
    parser.add_argument("--no-save", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with demo(args.variant) as (run, z):
        sides = [packaged(run, z, EVERY // TURNS, observe_every=every) for every in (EVERY, 0)]
        result = paired(
            *sides, blocks=args.blocks, turns=TURNS, warmup=TURNS, clock=time.process_time
        )
    print(line(f"{EVERY} steps: observed against not", result))
    if not args.no_save:
        save("observer", {"steps": EVERY, "variant": args.variant, "target": 1.05, **result})


if __name__ == "__main__":
    steady_allocator()
    main()
