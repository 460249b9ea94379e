r"""What an under-trained network leaves behind at condition number 1e4, proved by direction.

A Gaussian target in 16 rotated dimensions; identity and whiten, the same network, steps, batches
and learning rate; an ``Observer`` in a plain loop, and ``underfit`` on fresh rows at the looks. A
run that is in the table is not run again. Run, about four minutes on one core:

    python benchmarks/studies/underfit_directions.py [--steps 4000] [--seeds 5] [--out FOLDER]
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import torch
from mixtures import target
from table import RESULTS, Table, options

import precond_gm as pg
from precond_gm.diagnostics import Observer, StagnationWarning, underfit

DIM, CONDITION, BATCH, RATE = 16, 1e4, 256, 1e-3
VARIANTS = ("identity", "whiten")


def run(variant: str, seed: int, steps: int, rate: float = RATE) -> list[tuple[str, float, float]]:
    """Train, and return at every look the directions proved, and the step of the warning."""
    law = target("gaussian", DIM, CONDITION)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    flow = pg.wrap(pg.models.MLP(DIM, width=64, depth=2), preconditioner=variant)
    x = law.sample(20_000, generator)
    flow.fit_preconditioner(x, generator=generator)
    fresh = law.sample(4_000, torch.Generator().manual_seed(12345))
    optimiser = torch.optim.Adam(flow.parameters(), lr=rate, fused=True)
    observer, numbers = Observer(flow), []
    for step in range(1, steps + 1):
        rows = x[torch.randint(len(x), (BATCH,), generator=generator)]
        optimiser.zero_grad()
        flow.loss(rows, generator=generator).total.backward()
        optimiser.step()
        if observer(step, rows) is not None:
            found = underfit(flow, fresh, times=11)
            numbers.append(("directions", float(step), float(found.num_directions)))
            numbers.append(("cells", float(step), float(found.underfitted.sum())))
    warned = math.nan if observer.warned_at is None else float(observer.warned_at)
    return [*numbers, ("warned_at", float(steps), warned)]


def main(steps: int, seeds: int) -> Table:
    """Fill the table."""
    table = Table("underfit_directions", steps)
    for variant in VARIANTS:
        for seed in range(seeds):
            if table.has(variant, seed):
                continue
            table.add(variant, seed, run(variant, seed, steps))
    return table


def warn(steps: int) -> None:
    """Train without a map at a rate of ten times, which stands still, and keep the warning."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run("identity", 0, steps, 10 * RATE)
    found = [f"StagnationWarning: {w.message}" for w in said if w.category is StagnationWarning]
    text = "\n".join(found) or "no warning"
    (RESULTS / "underfit_directions.txt").write_text(text + "\n")
    print(text)


def conclude(table: Table) -> None:
    """Print directions at equal steps, mean and 95 % half width over seeds, and their ratio."""
    at, _ = table.series(VARIANTS[0], "directions")
    print(f"{'steps':>6}{'identity':>18}{'whiten':>18}   of {DIM} directions")
    for index, step in enumerate(at):
        ends = [table.series(variant, "directions")[1][index] for variant in VARIANTS]
        cells = (f"{mean:.1f} +- {half:.1f}" for mean, half in ends)
        fewer = f"{ends[0][0] / ends[1][0]:.1f} times fewer" if ends[1][0] else "none is left"
        print(f"{step:>6.0f}", *(f"{cell:>17}" for cell in cells), f"  {fewer}")


def draw(table: Table, out: Path) -> None:
    """Draw the directions proved under-fitted against steps."""
    from precond_gm.plotting.style import colour, finish, new_figure

    out.mkdir(parents=True, exist_ok=True)
    figure, axes = new_figure(1, 1)
    ax = axes[0, 0]
    for index, variant in enumerate(VARIANTS):
        at, values = table.series(variant, "directions")
        mean, half = (list(column) for column in zip(*values, strict=True))
        ax.errorbar(at, mean, half, fmt=".-", capsize=2, color=colour(index), label=variant)
    ax.set_ylim(-0.5, DIM + 0.5)
    finish(ax, "Directions proved under-fitted", "step", f"of {DIM}", legend=True)
    figure.savefig(out / "underfit_directions.png")


if __name__ == "__main__":
    chosen = options(__doc__, steps=4_000, seeds=5)
    torch.set_num_threads(1)
    found = main(chosen.steps, chosen.seeds)
    conclude(found)
    draw(found, chosen.out)
    warn(chosen.steps)
