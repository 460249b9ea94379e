"""Binarised MNIST: BCE against MSE of an aligned x1-prediction, with the same network and budget.

Pixels are drawn once, white with probability value / 255. The held-out error is that of the
predicted posterior mean, judged by one common measure (MSE) at every t; samples are judged by
moments of bits and by a picture.

Run: python benchmarks/studies/mnist_bits.py --data FOLDER --steps 1500 --seeds 2 --out FOLDER
"""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from table import Table, options, train
from torch import Tensor

import precond_gm as pg
from precond_gm.diagnostics import binary
from precond_gm.errors import ObjectiveWarning
from precond_gm.objectives import BitLogits
from precond_gm.plotting.style import array, new_figure
from precond_gm.values import Pairing, TargetKind

SIDE, PIXELS, BATCH, ROWS, STEPS = 28, 784, 256, 1000, 50
BCE = ("bce", {"low": -1.0})
CASES: dict[str, dict[str, Any]] = {
    "BCE, exact logit + net": {"divergence": BCE},
    "BCE, logits": {"divergence": BCE},
    "MSE": {},
}


def read(folder: Path, name: str, seed: int) -> Tensor:
    """Read images and draw each pixel once; black is -1, white is 1."""
    raw = gzip.decompress((folder / f"{name}-images-idx3-ubyte.gz").read_bytes())
    share = torch.as_tensor(np.frombuffer(raw, np.uint8, offset=16).copy()).reshape(-1, PIXELS)
    uniform = torch.rand(share.shape, generator=torch.Generator().manual_seed(seed))
    return torch.where(uniform < share.float() / 255, 1.0, -1.0)


def held_out(
    flow: pg.PreconditionedFlow, test: Tensor, generator: torch.Generator
) -> Iterator[tuple[str, float, float]]:
    """Measure the squared error of the predicted posterior mean of a pixel, by t."""
    rows = test[:2000]
    for at in (0.1, 0.3, 0.5, 0.7, 0.9):
        t = torch.full((len(rows),), at)
        noise = torch.randn(rows.shape, generator=generator)
        z = flow.path.sample(Pairing(noise, rows), t, target=TargetKind.X1).z_t
        with torch.no_grad():
            mean = flow.objective.mean(flow(t, z))
        yield "held_out_mse", at, float((mean - rows).square().mean())


def run(case: str, seed: int, steps: int, data: Tensor, test: Tensor) -> tuple[Tensor, list[Any]]:
    """Train one case; return samples and numbers."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network: torch.nn.Module = pg.models.MLP(PIXELS, width=512, depth=2)
    if "exact logit" in case:
        network = BitLogits(network, pg.paths.LinearPath(), low=-1.0)
    flow = pg.wrap(network, prediction="x1", event_shape=PIXELS, **CASES[case])
    name = f"{case}, seed {seed}"
    train(flow, data, steps, size=BATCH, generator=generator, name=name, anneal=True)
    numbers = list(held_out(flow, test, generator))
    raw = flow.sample(ROWS, steps=STEPS, generator=generator).x
    samples = torch.where(raw > 0, 1.0, -1.0)
    report = binary(samples, test, generator=generator)
    numbers += [(key.removeprefix("binary/"), 0, v) for key, v in report.as_metrics().items()]
    numbers.append(("white_share", 0, float((samples > 0).float().mean())))
    return samples, numbers


def draw(pictures: dict[str, Tensor], out: Path) -> None:
    """Draw 24 samples of each case under 24 held-out images."""
    figure, axes = new_figure(len(pictures), 1, size=(12, 1.7 * len(pictures)))
    for ax, (name, rows) in zip(axes[:, 0], pictures.items(), strict=True):
        tiles = rows[:24].reshape(24, SIDE, SIDE).permute(1, 0, 2).reshape(SIDE, 24 * SIDE)
        ax.imshow(array(tiles), cmap="gray", interpolation="nearest")
        ax.set_title(name, fontsize=9, loc="left")
        ax.set_axis_off()
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "mnist_bits.png")


def main() -> None:
    """Run what is missing, print the summary, draw the samples of the last seed."""
    chosen = options(__doc__, steps=1500, seeds=2, data="mnist")
    warnings.simplefilter("ignore", ObjectiveWarning)
    table = Table("mnist_bits", chosen.steps)
    data, test = read(chosen.data, "train", 0), read(chosen.data, "t10k", 1)
    pictures = {"held-out data, drawn once": test}
    for seed in range(chosen.seeds):
        for case in CASES:
            if not table.has(case, seed):
                pictures[case], numbers = run(case, seed, chosen.steps, data, test)
                table.add(case, seed, numbers)
    table.print(list(CASES), ["single_error", "pair_error", "triple_error", "c2st", "white_share"])
    offset, bce, mse = CASES
    metrics = ("pair_error", "triple_error", "c2st", "white_share")
    pairs = [(bce, mse), (offset, bce), (offset, mse)]
    table.conclude(*(table.compare(*pair, metric) for pair in pairs for metric in metrics))
    draw(pictures, chosen.out)


if __name__ == "__main__":
    main()
