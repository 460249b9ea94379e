"""Spectral whitening of 3 x 256 x 256 images: time, peak memory, and whether they come back.

The images are generated with a power spectrum that falls like that of photographs, and streamed.
Run, about half a minute:

    python benchmarks/speed/spectral_memory.py [--rows 500]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator

import torch
from harness import save

from precond_gm.preconditioners import REGISTRY
from precond_gm.values import Batch

SHAPE, LABELS, BATCH, LIMIT_GIB = (3, 256, 256), 2, 25, 2.0


class Images:
    """Batches of images, drawn anew each time they are read."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[Batch]:
        draw = torch.Generator().manual_seed(0)
        side = torch.fft.fftfreq(SHAPE[1])
        fall = 1 / (side[:, None].square() + side.square() + 1e-5).sqrt()
        for start in range(0, self.rows, BATCH):
            noise = torch.randn(min(BATCH, self.rows - start), *SHAPE, generator=draw)
            x = torch.fft.ifft2(torch.fft.fft2(noise) * fall).real
            yield Batch(x, torch.arange(len(x)) % LABELS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500)
    given = parser.parse_args()
    torch.set_num_threads(1)
    start, images = time.process_time(), Images(given.rows)
    for _ in images:
        pass
    drawing = time.process_time() - start
    part = REGISTRY.create("spectral")
    start = time.process_time()
    report = part.fit(images)
    fit_s = time.process_time() - start - drawing
    first = next(iter(images))
    start = time.process_time()
    with torch.no_grad():
        z = part(first.x, first.label)
        back = part.inverse(z.value, first.label).value
    both_ways_s = time.process_time() - start
    record = {
        "rows": given.rows,
        "batch": BATCH,
        "fit_s": fit_s,
        "forward_and_inverse_s": both_ways_s,
        "round_trip": float((back - first.x).abs().max() / first.x.abs().max()),
        "condition_before": report.condition_before,
        "condition_after": report.condition_after,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "limit_gib": LIMIT_GIB,
        "notes": report.notes,
    }
    print(record)
    save("spectral_memory", record)


if __name__ == "__main__":
    main()
