"""A training step with exact transport at n = 1,024, paired ahead of time, against ``independent``.

The step hides the solver only where a worker has a core of its own and is faster than the step; the
milliseconds of one pairing stand beside the ratio to tell. Each side has a loader of its own and
takes twenty steps at a time.

    python benchmarks/speed/pairs_ahead.py --workers 1
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import torch
from harness import line, paired, save, steady_allocator

import precond_gm as pg
from precond_gm.couplings import REGISTRY, PairsAhead
from precond_gm.models import MLP
from precond_gm.values import Pairing

ROWS, DIM, BATCH = 16_384, 64, 1024
STEPS = 20  # of one measurement: many more than the two batches that a worker is ahead


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--ot-batch", type=int, default=BATCH)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--no-save", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    z1 = torch.randn(ROWS, DIM, generator=torch.Generator().manual_seed(0))
    label = torch.arange(ROWS) % 10
    flow = pg.wrap(MLP(DIM, num_labels=10, width=args.width, depth=3), num_labels=10).to(device)
    optimiser = torch.optim.Adam(flow.parameters())

    def step(source: Iterator[Pairing]) -> None:
        pair = next(source)
        assert pair.label is not None
        moved = Pairing(pair.z0.to(device), pair.z1.to(device), pair.label.to(device))
        loss = flow.loss(moved, preconditioned=True).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    sources = {
        name: PairsAhead(
            z1,
            label,
            REGISTRY.create(name),
            BATCH,
            ot_batch=args.ot_batch,
            num_workers=args.workers,
        ).batches_from(0)
        for name in ("ot", "independent")
    }

    def take(name: str) -> None:
        for _ in range(STEPS):
            step(sources[name])

    result = paired(lambda: take("ot"), lambda: take("independent"), args.blocks, warmup=1)
    exact = REGISTRY.create("ot")
    exact.pair(z1[:BATCH].flip(0), z1[:BATCH], label[:BATCH])  # imports are not timed
    start = time.perf_counter()
    exact.pair(z1[:BATCH].flip(0), z1[:BATCH], label[:BATCH])
    pairing_ms = (time.perf_counter() - start) * 1e3
    shown = f"step with ot, n={BATCH}, {device.type}"
    print(line(shown, result), f"pairing {pairing_ms:.1f} ms, {args.workers} workers")
    if not args.no_save:
        settings = {"workers": args.workers, "width": args.width, "ot_batch": args.ot_batch}
        save("pairs_ahead", {**settings, "pairing_ms": pairing_ms, **result})


if __name__ == "__main__":
    steady_allocator()
    main()
