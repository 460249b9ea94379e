"""A training step with exact transport at n = 1,024, paired ahead of time, against ``independent``.

The step hides the solver only where a worker has a core of its own and is faster than the step; the
milliseconds of one pairing stand beside the ratio to tell.

    python benchmarks/speed/pairs_ahead.py --workers 1
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import torch
from harness import line, paired, save

import precond_gm as pg
from precond_gm.couplings import REGISTRY, PairsAhead
from precond_gm.models import MLP
from precond_gm.values import Pairing

ROWS, DIM, BATCH = 16_384, 64, 1024


def endless(pairs: PairsAhead) -> Iterator[Pairing]:
    """Yield epoch after epoch."""
    while True:
        yield from pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--blocks", type=int, default=40)
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
        name: endless(PairsAhead(z1, label, REGISTRY.create(name), BATCH, num_workers=args.workers))
        for name in ("ot", "independent")
    }
    result = paired(lambda: step(sources["ot"]), lambda: step(sources["independent"]), args.blocks)
    exact = REGISTRY.create("ot")
    exact.pair(z1[:BATCH].flip(0), z1[:BATCH], label[:BATCH])  # imports are not timed
    start = time.perf_counter()
    exact.pair(z1[:BATCH].flip(0), z1[:BATCH], label[:BATCH])
    pairing_ms = (time.perf_counter() - start) * 1e3
    print(line(f"step with ot, n={BATCH}, {device.type}", result), f"pairing {pairing_ms:.1f} ms")
    save("pairs_ahead", {"workers": args.workers, "pairing_ms": pairing_ms, **result})


if __name__ == "__main__":
    main()
