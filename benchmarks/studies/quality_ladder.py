"""Which preconditioner buys sample quality, when all get the same computation?

Six rungs: nothing, scaling, whitening of all rows together and of each label, a small and a larger
flow. What a rung does not spend on its fit it spends on more training steps, measured in processor
time, so a longer-trained plain network is what every flow has to beat. Two targets: labels of two
Gaussians each, turned differently, condition number 1e4, in 12 dimensions; and the 8 x 8 digits.
Judged at 5 to 50 Heun steps by the variance in the lowest quarter of the data's eigen-directions
(doublings or halvings off; each label of the mixture on its own) and by the energy distance, over
seeds. A target and seed that is in the table is not run again. Run, about 8 minutes of processor
time:

    python benchmarks/studies/quality_ladder.py [--steps 1000] [--seeds 3] [--out runs]
"""

from __future__ import annotations

import json
import math
import time
from typing import Any

import torch
from table import RESULTS, Table, interval, options
from torch import Tensor

import precond_gm as pg
from precond_gm.data import ReadOptions, prepare, read
from precond_gm.models import MLP
from precond_gm.numerics.recovery import directions, recovery_statistic
from precond_gm.numerics.rows import flatten
from precond_gm.plotting.style import colour, finish, new_figure
from precond_gm.preconditioners import REGISTRY
from precond_gm.values import Batch

RUNGS: dict[str, Any] = {
    "identity": "identity",
    "standardize": ("standardize", {"shared": True}),
    "whiten, pooled": ("whiten", {"shared": True}),
    "whiten": "whiten",
    "small flow": ("zuko.realnvp", {"transforms": 2, "hidden": (32, 32), "max_steps": 400}),
    "larger flow": ("zuko.realnvp", {"transforms": 6, "hidden": (128, 128), "max_steps": 1000}),
}
TARGETS = ("mixture", "digits")
DIM, LABELS, LOG_CONDITION = 12, 4, 4
SAMPLING_STEPS = (5, 10, 20, 50)
METRICS = {"low_recovery_error": "doublings off, low directions", "energy": "energy distance"}
BATCH, RATE = 256, 2e-3


def mixture(rows: int, seed: int) -> Batch:
    """Draw labels of two Gaussians each, which share one turned covariance."""
    shape = torch.Generator().manual_seed(7)
    draw = torch.Generator().manual_seed(seed)
    scale = torch.logspace(1 - LOG_CONDITION, 1, DIM).sqrt()
    label = torch.arange(rows) % LABELS
    x = torch.randn(rows, DIM, generator=draw)
    side = torch.randint(0, 2, (rows, 1), generator=draw) * 2 - 1
    for index in range(LABELS):
        basis = torch.linalg.qr(torch.randn(DIM, DIM, generator=shape)).Q
        apart, centre = torch.randn(2, DIM, generator=shape)
        own = label == index
        moved = x[own] + 2 * side[own] * apart / apart.norm()
        x[own] = (moved * scale) @ basis.T + centre
    return Batch(x, label)


def target(name: str) -> tuple[Batch, Batch]:
    """Return the rows to train on and those to judge by."""
    if name == "mixture":
        return mixture(20_000, 0), mixture(5_000, 1)
    prepared = prepare(read("digits", ReadOptions()))
    return prepared.train, prepared.test


def fitted(rung: Any, rows: Batch, seed: int) -> tuple[Any, float]:
    """Fit the map of a rung; return it with the processor time of the fit."""
    part = REGISTRY.resolve(rung)
    start = time.process_time()
    part.fit(rows.x, rows.label, generator=torch.Generator().manual_seed(seed))
    return part, time.process_time() - start


def new_flow(part: Any, rows: Batch, seed: int) -> pg.PreconditionedFlow:
    """Wrap a fresh network; every rung of a seed starts from the same weights."""
    torch.manual_seed(seed)
    shape, labels = tuple(rows.x.shape[1:]), int(rows.label.max()) + 1
    net = MLP(shape, num_labels=labels, width=128, depth=2)
    return pg.wrap(net, preconditioner=part, num_labels=labels, event_shape=shape)


def train(flow: pg.PreconditionedFlow, rows: Batch, steps: int, seed: int) -> float:
    """Train, and return the processor time of a step."""
    draw = torch.Generator().manual_seed(seed)
    z = flow.precondition(rows.x, rows.label)
    optimiser = torch.optim.Adam(flow.field.parameters(), lr=RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    start = time.process_time()
    for _ in range(steps):
        pick = torch.randint(len(z), (BATCH,), generator=draw)
        loss = flow.loss(z[pick], rows.label[pick], preconditioned=True, generator=draw).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
    return (time.process_time() - start) / steps


class Judge:
    """Distances to rows that no fit has seen, and those of data to data.

    The energy distance keeps its diagonal terms: it is then positive, if biased, and the floor
    beside it is biased alike.
    """

    def __init__(self, name: str, rows: Batch, test: Batch) -> None:
        half = len(test.x) // 2
        self.one, self.two = (
            Batch(flatten(test.x[part]), test.label[part])
            for part in (slice(half), slice(half, 2 * half))
        )
        self.label = self.two.label
        self.separate = name == "mixture"
        labels = self.one.label.unique().tolist() if self.separate else [None]
        self.bases = {k: directions(_of(Batch(flatten(rows.x), rows.label), k)) for k in labels}

    def __call__(self, made: Tensor, label: Tensor) -> dict[str, float]:
        made = Batch(flatten(made).nan_to_num(0, 1e6, -1e6).clamp(-1e6, 1e6), label)
        errors = []
        for k, basis in self.bases.items():
            a, b = _of(made, k), _of(self.one, k)
            measured = recovery_statistic(basis)(a, b)(torch.arange(len(a)), torch.arange(len(b)))
            errors.append(measured["low_recovery_error"])
        return {"low_recovery_error": sum(errors) / len(errors), "energy": self._energy(made.x)}

    def floor(self) -> dict[str, float]:
        return self(self.two.x, self.two.label)

    def _energy(self, made: Tensor) -> float:
        a, b = made.double(), self.one.x.double()
        between, within = torch.cdist(a, b).mean(), torch.cdist(a, a).mean()
        return float(2 * between - within - torch.cdist(b, b).mean())


def judged(flow: pg.PreconditionedFlow, judge: Judge, seed: int) -> list[tuple[str, float, float]]:
    """Return every metric at every number of sampling steps, from the same noise."""
    found = [(f"{metric}/floor", 0.0, value) for metric, value in judge.floor().items()]
    for steps in SAMPLING_STEPS:
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            made = flow.sample(judge.label, steps=steps, solver="heun", generator=draw).x
        found += [(metric, steps, value) for metric, value in judge(made, judge.label).items()]
    return found


def run(table: Table, name: str, seed: int, base: int) -> None:
    """Fit and train every rung of one target and seed."""
    rows, test = target(name)
    judge = Judge(name, rows, test)
    maps = {rung: fitted(spec, rows, seed) for rung, spec in RUNGS.items()}
    dearest = max(seconds for _, seconds in maps.values())
    trial = new_flow(maps["whiten"][0], rows, seed)
    train(trial, rows, 50, seed)
    each = train(trial, rows, 200, seed)
    for rung, (part, seconds) in maps.items():
        steps = base + round((dearest - seconds) / each)
        flow = new_flow(part, rows, seed)
        spent = seconds + steps * train(flow, rows, steps, seed)
        numbers = judged(flow, judge, seed)
        cost = [("fit_s", 0, seconds), ("training_steps", 0, steps), ("total_s", 0, spent)]
        table.add(f"{name}/{rung}", seed, [*numbers, *cost])
        print(f"{name:<8} seed {seed}  {rung:<15} {steps:>6} steps, {spent:.1f} s", flush=True)


def against(table: Table, one: str, other: str, metric: str, at: int) -> tuple[float, float]:
    """Return mean and half width of log(one / other), paired by seed."""
    values: dict[str, dict[str, float]] = {one: {}, other: {}}
    for row in table.rows:
        if row["case"] in values and row["metric"] == metric and float(row["at"]) == at:
            values[row["case"]][row["seed"]] = float(row["value"])
    both = values[one].keys() & values[other].keys()
    return interval([math.log(values[one][k] / values[other][k]) for k in both])


def conclusions(table: Table) -> list[str]:
    """Say for every rung what it changes against others, and then what it does not."""
    said, vain = [], []
    pairs = [*zip(list(RUNGS)[1:], list(RUNGS)[:-1], strict=True), ("larger flow", "whiten")]
    for name in TARGETS:
        for one, other in [*pairs, ("whiten", "identity")]:
            for metric, words in METRICS.items():
                changes, verdicts = [], []
                for at in SAMPLING_STEPS:
                    mean, half = against(table, f"{name}/{one}", f"{name}/{other}", metric, at)
                    verdict = "worse" if mean > 0 else "better"
                    verdicts.append("no difference shown" if abs(mean) <= half else verdict)
                    low, high = math.exp(mean - half), math.exp(mean + half)
                    changes.append(
                        f"{at} steps {math.exp(mean):.2f} [{low:.2f}, {high:.2f}] {verdicts[-1]}"
                    )
                said.append(f"{name}, {words}, {one} over {other}: {'; '.join(changes)}")
                if "better" not in verdicts:
                    what = "makes worse" if "worse" in verdicts else "does not help"
                    vain.append(f"{name}: {one} instead of {other} {what}: {words}")
    return [*said, *vain]


def draw(table: Table, path: Any) -> None:
    """Draw every metric against sampling steps, a row of panels for each target."""
    figure, axes = new_figure(len(TARGETS), len(METRICS), (10.5, 7.2))
    for row, name in enumerate(TARGETS):
        for col, (metric, words) in enumerate(METRICS.items()):
            ax = axes[row, col]
            for index, rung in enumerate(RUNGS):
                at, (mean, low, high) = table.band(f"{name}/{rung}", metric)
                ax.plot(at, mean, "o-", ms=4, color=colour(index), label=rung)
                ax.fill_between(at, low, high, color=colour(index), alpha=0.12, linewidth=0)
            _, (floor, _, _) = table.band(f"{name}/whiten", f"{metric}/floor")
            ax.axhline(float(floor[0]), color="k", ls=":", lw=1, label="data against data")
            ax.set_xscale("log")
            ax.set_yscale("linear" if metric == "energy" else "log")
            ax.set_xticks(SAMPLING_STEPS, [str(n) for n in SAMPLING_STEPS])
            ax.minorticks_off()
            finish(ax, name, "Heun steps", words, legend=not row and not col)
    figure.savefig(path, dpi=130)


def main() -> None:
    given = options(__doc__, steps=1000, seeds=3)
    torch.set_num_threads(1)
    table = Table("quality_ladder", given.steps)
    for seed in range(given.seeds):
        for name in TARGETS:
            if not all(table.has(f"{name}/{rung}", seed) for rung in RUNGS):
                table.rows = [r for r in table.rows if r["seed"] != str(seed)
                              or not r["case"].startswith(name)]  # fmt: skip
                run(table, name, seed, given.steps)
    for name in TARGETS:
        for at in SAMPLING_STEPS:
            print(f"\n{name}, {at} Heun steps: mean +- 95 % half width over seeds")
            for rung in RUNGS:
                cells = []
                for metric in METRICS:
                    places, values = table.series(f"{name}/{rung}", metric)
                    mean, half = values[places.index(at)]
                    cells.append(f"{metric} {mean:.4g} +- {half:.2g}")
                print(f"  {rung:<16}" + "   ".join(cells))
    said = conclusions(table)
    print("\n" + "\n".join(said))
    (RESULTS / "quality_ladder.json").write_text(json.dumps({"conclusions": said}, indent=1) + "\n")
    draw(table, RESULTS / "quality_ladder.png")


def _of(rows: Batch, label: int | None) -> Tensor:
    return (rows.x if label is None else rows.x[rows.label == label]).double()


if __name__ == "__main__":
    main()
