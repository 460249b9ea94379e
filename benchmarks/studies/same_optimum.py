"""Do uniform times and Beta(2, 2) reach the same optimum? Excess error against the budget.

Both laws have one minimiser, the exact posterior mean, if the network is expressive enough. A
budget of training steps is spent with a rate that decays to zero, so that what is left is not the
noise of the last steps; then the budget is quadrupled. If the optimum is one, both excess errors
fall to zero, and so does the distance of the two networks from each other.

Run: python benchmarks/studies/same_optimum.py --steps 8000 --seeds 4 --out FOLDER
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from table import Table, options, train
from time_weighting import Judge, mixture
from torch import Tensor

import precond_gm as pg
from precond_gm.plotting.style import COLOURS, GREY, finish, new_figure

BATCH, ROWS = 256, 400_000
LAWS = {"uniform": "uniform", "Beta(2, 2)": "beta"}


def run(law: str, seed: int, steps: int, data: Tensor, judge: Judge) -> Tensor:
    """Train one network and return its estimate of x1 at the judge's points."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = pg.models.MLP(2, width=128, depth=2)
    flow = pg.wrap(network, event_shape=2, prediction="velocity", time_law=LAWS[law])
    name = f"{law}, {steps} steps, seed {seed}"
    train(flow, data, steps, size=BATCH, generator=generator, name=name, anneal=True)
    return judge.estimate(flow)


def numbers(
    seed: int, budgets: list[int], data: Tensor, judge: Judge
) -> Iterator[tuple[str, str, float, float]]:
    """Train both laws with every budget; yield ``(case, metric, budget, value)``."""
    for steps in budgets:
        found = {law: run(law, seed, steps, data, judge) for law in LAWS}
        errors = {law: (x1 - judge.x1).square().sum(1) for law, x1 in found.items()}
        for law, error in errors.items():
            yield law, "x1_excess", steps, float(error.mean())
        first, second = found.values()
        yield "distance", "x1_excess", steps, float((first - second).square().sum(1).mean())
        first, second = errors.values()
        yield "difference", "x1_excess", steps, float((second - first).mean())


def draw(table: Table, out: Path) -> None:
    """Draw excess errors and the distance of the two networks against the budget."""
    figure, axes = new_figure(1, 1, size=(6.5, 4.6))
    ax = axes[0, 0]
    shades = dict(zip([*LAWS, "distance"], (*COLOURS[:2], GREY), strict=True))
    for case, shade in shades.items():
        places, (centre, low, high) = table.band(case, "x1_excess")
        label = "between the two networks" if case == "distance" else case
        ax.plot(places, centre, "o-", color=shade, label=label)
        ax.fill_between(places, low, high, color=shade, alpha=0.2)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(places, [f"{place:,.0f}" for place in places])
    ax.minorticks_off()
    finish(ax, "Excess error of x1, rate decayed to zero", "training steps", "squared error",
           legend=True)  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "same_optimum.png")


def main() -> None:
    """Run what is missing, print excess, distance and difference by budget, draw the figure."""
    chosen = options(__doc__, steps=8000, seeds=4)
    budgets = [chosen.steps // 16, chosen.steps // 4, chosen.steps]
    table, law = Table("same_optimum", chosen.steps), mixture()
    judge = Judge(law)
    generator = torch.Generator().manual_seed(1)
    data = law.sample_pairs(ROWS, generator=generator).z1.float()
    cases = [*LAWS, "distance", "difference"]
    for seed in range(chosen.seeds):
        if not table.has("difference", seed):
            for case, metric, at, value in list(numbers(seed, budgets, data, judge)):
                table.add(case, seed, [(metric, at, value)])
    for case in cases:
        places, values = table.series(case, "x1_excess")
        cells = [f"{at:.0f}: {m:.3g} +- {h:.2g}" for at, (m, h) in zip(places, values, strict=True)]
        print(f"{case:<12}", *(f"{cell:>28}" for cell in cells))
    found = {case: [mean for mean, _ in table.series(case, "x1_excess")[1]] for case in cases}
    slopes = {law: math.log(found[law][-1] / found[law][0]) / math.log(16) for law in LAWS}
    lines = [f"{law}: excess falls like steps^{slope:.2f}" for law, slope in slopes.items()]
    first, last = (table.series("difference", "x1_excess")[1][i] for i in (0, -1))
    lines.append(
        f"Beta(2, 2) less uniform: {first[0]:.4f} +- {first[1]:.4f} after {budgets[0]} steps, "
        f"{last[0]:.5f} +- {last[1]:.5f} after {budgets[-1]}: one optimum, approached from above "
        f"by both, and not reached by either"
    )
    ratio = found["Beta(2, 2)"][-1] / found["uniform"][-1]
    lines.append(
        f"at {budgets[-1]} steps Beta(2, 2) still has {ratio:.2f} times the excess of uniform "
        f"times, by an error that weights all t alike: it sees the ends more rarely"
    )
    table.conclude(*lines)
    draw(table, chosen.out)


if __name__ == "__main__":
    main()
