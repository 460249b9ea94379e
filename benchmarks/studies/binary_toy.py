"""The binary toy of 2602.10420: prediction x loss space x time law on 16 independent fair signs.

The exact posterior mean is ``tanh(t z / (1 - t)^2)``, so the error of a network is known at every
t, apart from the noise of the data. Each run trains the same MLP (2 x 256) with batches of 1,000.

Run: python benchmarks/studies/binary_toy.py --steps 5000 --seeds 5 --out FOLDER
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from table import Table, options, train

import precond_gm as pg
from precond_gm.diagnostics import alignment, binary
from precond_gm.errors import ObjectiveWarning
from precond_gm.objectives import fair_bit_logit
from precond_gm.plotting.style import COLOURS, finish, new_figure
from precond_gm.values import Pairing, TargetKind

BITS, BATCH, TIMES = 16, 1000, 20
CELLS = [
    (prediction, loss, law)
    for prediction in ("x1", "velocity")
    for loss in ("x1", "velocity")
    for law in ("uniform", "logit-normal")
]


def name(cell: tuple[str, str, str]) -> str:
    """Name a cell."""
    return f"{cell[0]}-prediction, {cell[1]}-loss, {cell[2]}"


def signs(n: int, generator: torch.Generator) -> torch.Tensor:
    """Draw fair signs."""
    return torch.randint(0, 2, (n, BITS), generator=generator).float() * 2 - 1


def error_by_t(
    flow: pg.PreconditionedFlow, generator: torch.Generator
) -> Iterator[tuple[str, float, float]]:
    """Measure the squared error of the implied x1 against the exact posterior mean, per bit."""
    path = flow.path
    for at in ((torch.arange(TIMES) + 0.5) / TIMES).tolist():
        t = torch.full((4000,), at)
        pairing = Pairing(torch.randn(4000, BITS, generator=generator), signs(4000, generator))
        z = path.sample(pairing, t, target=TargetKind.X1).z_t
        exact = torch.tanh(fair_bit_logit(path, t, z, -1.0, 1.0) / 2)
        with torch.no_grad():
            output = flow(t, z)
        if flow.objective.prediction is TargetKind.VELOCITY:
            output = z + (1 - at) * output
        yield "x1_error", at, float((output - exact).square().mean())


def run(cell: tuple[str, str, str], seed: int, steps: int) -> Iterator[tuple[str, float, float]]:
    """Train one cell and measure it."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    flow = pg.wrap(
        pg.models.MLP(BITS, width=256, depth=1),
        prediction=cell[0],
        loss_space=cell[1],
        time_law=cell[2],
        event_shape=BITS,
    )
    data = signs(100_000, generator)
    label = f"{name(cell)}, seed {seed}"
    norms = train(flow, data, steps, size=BATCH, generator=generator, name=label)
    late = norms[steps // 2 :]
    yield "gradient_norm_median", 0, float(late.median())
    yield "gradient_spike", 0, float(late.quantile(0.999) / late.median())
    errors = list(error_by_t(flow, generator))
    yield from errors
    yield "x1_error_mean", 0, sum(value for *_, value in errors) / len(errors)
    report = alignment(
        "linear",
        cell[0],
        cell[1],
        flow=flow,
        x=data[:2000],
        times=TIMES,
        batches=2,
        generator=generator,
    )
    found = report.measured
    assert found is not None
    for at, loss, norm in zip(found.t, found.loss, found.gradient_norm, strict=True):
        yield "loss", float(at), float(loss) / BITS
        yield "gradient_norm", float(at), float(norm)
    raw = flow.sample(5000, steps=50, generator=generator).x
    bits = torch.where(raw > 0, 1.0, -1.0)
    yield "distance_to_bits", 0, float((raw - bits).square().mean().sqrt())
    judged = binary(bits, signs(50_000, generator))
    yield "c2st", 0, judged.c2st.value
    for moment, key in zip(judged.moments, ("single", "pair", "triple"), strict=True):
        yield f"{key}_error", 0, moment.error
        yield f"{key}_floor", 0, moment.floor


def draw(table: Table, out: Path) -> None:
    """Draw error, loss and gradient norm against t for every cell."""
    figure, axes = new_figure(1, 3, size=(15, 4.6))
    titles = {
        "x1_error": ("Error of x1 against the exact tanh", "squared error per bit"),
        "loss": ("Loss in its own space", "loss per bit"),
        "gradient_norm": ("Gradient at the end of training", "norm over 1,000 rows"),
    }
    for ax, (metric, (title, ylabel)) in zip(axes[0], titles.items(), strict=True):
        for index, cell in enumerate(CELLS):
            if not table.series(name(cell), metric)[0]:
                continue
            places, (centre, low, high) = table.band(name(cell), metric)
            shade = COLOURS[index // 2]
            style = "-" if cell[2] == "uniform" else "--"
            ax.plot(places, centre, style, color=shade, label=name(cell), linewidth=1.6)
            ax.fill_between(places, low, high, color=shade, alpha=0.15)
        ax.set_yscale("log")
        finish(ax, title, "t (0 noise, 1 data)", ylabel)
    axes[0, 0].legend(fontsize=7, frameon=False)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "binary_toy.png")


def main() -> None:
    """Run what is missing, print the summary, draw the figure."""
    chosen = options(__doc__, steps=5000, seeds=5)
    table = Table("binary_toy", chosen.steps)
    warnings.simplefilter("ignore", ObjectiveWarning)  # singular cells are the subject
    for seed in range(chosen.seeds):
        for cell in CELLS:
            if not table.has(name(cell), seed):
                table.add(name(cell), seed, list(run(cell, seed, chosen.steps)))
    metrics = ["x1_error_mean", "gradient_spike", "distance_to_bits", "single_error", "pair_error"]
    table.print([name(cell) for cell in CELLS], metrics)
    cells = {cell: name(cell) for cell in CELLS}
    lines = []
    for metric in ("x1_error_mean", "pair_error"):
        for law in ("uniform", "logit-normal"):
            for have, other in (("x1", "velocity"), ("velocity", "x1")):
                pair = cells[have, have, law], cells[have, other, law]
                lines.append("aligned: " + table.compare(*pair, metric))
        for have, loss in itertools.product(("x1", "velocity"), repeat=2):
            pair = cells[have, loss, "uniform"], cells[have, loss, "logit-normal"]
            lines.append("time law: " + table.compare(*pair, metric))
    table.conclude(*lines)
    draw(table, chosen.out)


if __name__ == "__main__":
    main()
