r"""The claim, exactly: does scaling lower the plateau where the optimum is known?

Gaussian and mixture targets with condition number 1e4 in rotated axes; identity, standardize and
whiten; learning rate tuned for each on a seed of its own; five seeds. The rate is constant for
the first half, so that a plateau can be seen, and falls to zero in the second. Excess risks of
different coordinates have different units, so what is compared is the share of the exact field
that is still to be learned, per direction; the directions that ``underfit`` proves; and, in the
data's own coordinates, how far the variances of samples are from those of the target. A run that
is in the table is not run again. Run, about twenty minutes on one core:

    python benchmarks/studies/excess_risk.py [--steps 6000] [--seeds 5] [--out FOLDER]
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from excess_risk_figures import conclude, draw, print_last
from mixtures import Mixture, target
from table import Table, options
from tqdm import tqdm

import precond_gm as pg
from precond_gm.diagnostics import excess_risk, underfit

KINDS, VARIANTS = ("gaussian", "mixture"), ("identity", "standardize", "whiten")
BATCH, TUNING_SEED, RATES = 256, 100, (3e-3, 1e-2, 3e-2)
LOOKS = (0.01, 0.03, 0.1, 0.25, 0.375, 0.5, 0.625, 0.75, 1.0)
Numbers = list[tuple[str, float, float]]


def train(
    law: Mixture,
    variant: str,
    rate: float,
    steps: int,
    seed: int,
    look: Callable[[pg.PreconditionedFlow, int], None],
) -> None:
    """Train a small network with Adam, and call ``look(flow, step)`` on the way."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    flow = pg.wrap(pg.models.MLP(law.dim, width=64, depth=2), preconditioner=variant)
    x = law.sample(20_000, generator)
    flow.fit_preconditioner(x, generator=generator)
    z = flow.precondition(x)
    optimiser = torch.optim.Adam(flow.parameters(), lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, 2 * (1 - step / steps))
    )
    at = {max(1, round(steps * share)) for share in LOOKS}
    for step in range(1, steps + 1):
        rows = z[torch.randint(len(z), (BATCH,), generator=generator)]
        optimiser.zero_grad()
        flow.loss(rows, preconditioned=True, generator=generator).total.backward()
        optimiser.step()
        schedule.step()
        if step in at:
            look(flow, step)


def measure(law: Mixture, flow: pg.PreconditionedFlow) -> dict[str, float]:
    """Return what is left to learn, what is proved to be, and what samples show of it."""
    generator = torch.Generator().manual_seed(12345)
    fresh = law.sample(4_000, generator)
    left = excess_risk(flow, fresh, exact=law.mapped(flow).velocity, times=11).left
    proved = underfit(flow, fresh, times=11)
    samples = flow.sample(4_000, steps=32, generator=generator).x
    off = law.log_ratio(samples).abs()
    low = max(1, law.dim // 4)
    return {
        "left": float(left.mean()),
        "left_low": float(left[:low].mean()),
        **{f"left/{index}": float(value) for index, value in enumerate(left)},
        "directions": float(proved.num_directions),
        "cells": float(proved.underfitted.sum()),
        "variance": float(off.nanmean()),
        "variance_low": float(off[:, :low].nanmean()),
    }


def run(law: Mixture, variant: str, rate: float, steps: int, seed: int) -> Numbers:
    """Return the numbers of one run: over training, or of its end for a tuning run."""
    numbers: Numbers = [("rate", steps, rate)]

    def look(flow: pg.PreconditionedFlow, step: int) -> None:
        if seed != TUNING_SEED or step == steps:
            numbers.extend((name, step, value) for name, value in measure(law, flow).items())

    train(law, variant, rate, steps, seed, look)
    return numbers


def main(steps: int, seeds: int) -> Table:
    """Fill the table, one run at a time."""
    table = Table("excess_risk", steps)
    cases = [(kind, variant) for kind in KINDS for variant in VARIANTS]
    bar = tqdm(total=len(cases) * (len(RATES) + seeds), mininterval=5)
    for kind, variant in cases:
        law, score = target(kind), {}
        for rate in RATES:
            case = f"tuning/{kind}/{variant}/{rate:g}"
            if not table.has(case, TUNING_SEED):
                table.add(case, TUNING_SEED, run(law, variant, rate, steps, TUNING_SEED))
            score[rate] = table.series(case, "left")[1][0][0]
            bar.update()
        best = min(score, key=lambda rate: score[rate])
        for seed in range(seeds):
            if not table.has(f"{kind}/{variant}", seed):
                table.add(f"{kind}/{variant}", seed, run(law, variant, best, steps, seed))
            bar.update()
    return table


if __name__ == "__main__":
    chosen = options(__doc__, steps=6_000, seeds=5)
    torch.set_num_threads(1)
    found = main(chosen.steps, chosen.seeds)
    draw(found, KINDS, VARIANTS, chosen.out)
    print_last(found, KINDS, VARIANTS)
    conclude(found)
