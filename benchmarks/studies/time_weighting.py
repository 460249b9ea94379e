"""The first three experiments of 2511.16599, on a mixture whose posterior mean is known.

1. Uniform times against Beta(2, 2), velocity-prediction: do both reach the same optimum? Here one
   budget; same_optimum.py has the approach to it over budgets.
2. Weight 1 against ``1 / (1 - t + 0.01)^2``, x1-prediction: stability and quality.
3. The singular velocity loss of x1-prediction against its epsilon form: the loss next to t = 1.

Every curve is the *excess* error against the exact posterior mean, so that runs with different
weights can be compared. Run: python benchmarks/studies/time_weighting.py --steps 4000 --seeds 5
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from table import Table, options
from torch import Tensor
from tqdm import trange

import precond_gm as pg
from precond_gm.closed_form import GaussianMixtureBridge
from precond_gm.errors import ObjectiveWarning
from precond_gm.plotting.style import COLOURS, finish, new_figure
from precond_gm.values import TargetKind

BATCH, POINTS, RECORDS = 256, 8000, 20
EPS = ("inverse-remaining", {"eps": 0.01})
EXPERIMENTS: dict[str, dict[str, dict[str, Any]]] = {
    "1. time law": {
        "uniform": {"prediction": "velocity"},
        "Beta(2, 2)": {"prediction": "velocity", "time_law": "beta"},
    },
    "2. weight": {
        "w = 1": {"prediction": "x1"},
        "w = 1/(1-t+0.01)^2": {"prediction": "x1", "weight": EPS},
    },
    "3. singularity": {
        "velocity loss, 1/(1-t)^2": {"prediction": "x1", "loss_space": "velocity"},
        "w = 1/(1-t+0.01)^2": {"prediction": "x1", "weight": EPS},
    },
}
CASES = {case: settings for group in EXPERIMENTS.values() for case, settings in group.items()}


def mixture() -> GaussianMixtureBridge:
    """Eight Gaussians of deviation 0.15 on a circle of radius 2; the linear path."""
    angle = torch.arange(8) * (math.pi / 4)
    means = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    return GaussianMixtureBridge([1 / 8] * 8, means, 0.15**2, sigma=0.0)


class Judge:
    """The excess error of a flow at fixed points of the path."""

    def __init__(self, law: GaussianMixtureBridge) -> None:
        g = torch.Generator().manual_seed(12345)
        self.t = torch.rand(POINTS, generator=g, dtype=torch.float64) * 0.998 + 0.001
        pairs = law.sample_pairs(POINTS, generator=g)
        path = pg.paths.LinearPath()
        self.z = path.sample(pairs, self.t, target=TargetKind.X1).z_t
        self.x1 = law.posterior_mean(self.t, self.z)

    @torch.no_grad()
    def estimate(self, flow: pg.PreconditionedFlow) -> Tensor:
        """Return the implied x1 at each point."""
        output = flow(self.t.float(), self.z.float()).double()
        if flow.objective.prediction is TargetKind.VELOCITY:
            return self.z + (1 - self.t[:, None]) * output
        return output

    def error(self, flow: pg.PreconditionedFlow) -> Tensor:
        """Return the squared error of the implied x1 at each point."""
        return (self.estimate(flow) - self.x1).square().sum(1)


def run(
    case: str, seed: int, steps: int, law: GaussianMixtureBridge, judge: Judge
) -> Iterator[tuple[str, float, float]]:
    """Train one case; record excess errors on the way, by t at the end, and the samples."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    flow = pg.wrap(pg.models.MLP(2, width=128, depth=2), event_shape=2, **CASES[case])
    data = law.sample_pairs(100_000, generator=generator).z1.float()
    parameters = list(flow.parameters())
    optimiser = torch.optim.Adam(parameters, lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    norms = []
    for step in trange(steps, desc=f"{case}, seed {seed}", leave=False, mininterval=5):
        rows = torch.randint(len(data), (BATCH,), generator=generator)
        optimiser.zero_grad()
        flow.loss(data[rows], preconditioned=True, generator=generator).total.backward()
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in parameters]))
        optimiser.step()
        schedule.step()
        if (step + 1) % max(steps // RECORDS, 1) == 0:
            yield "x1_excess", step + 1, float(judge.error(flow).mean())
    late = torch.stack(norms[steps // 2 :])
    yield "gradient_spike", 0, float(late.quantile(0.999) / late.median())
    error = judge.error(flow)
    yield "final_x1_excess", 0, float(error.mean())
    remaining = 1 - judge.t
    velocity = error / remaining.square()
    yield "final_velocity_excess", 0, float(velocity[remaining > 0.02].mean())
    edges = torch.logspace(-3, 0, 13, dtype=torch.float64)
    for low, high in itertools.pairwise(edges):
        inside = (remaining >= low) & (remaining < high)
        if bool(inside.any()):
            yield "x1_excess_by_remaining", float((low * high).sqrt()), float(error[inside].mean())
    samples = flow.sample(2000, steps=50, generator=generator).x
    fresh = law.sample_pairs(2000, generator=generator).z1.float()
    report = pg.diagnostics.quality(
        samples, fresh, metrics=["energy_distance"], generator=generator
    )
    for key, value in report.as_metrics().items():
        if key in ("quality/energy_distance", "quality/energy_distance/floor"):
            yield key.removeprefix("quality/"), 0, value


def draw(table: Table, out: Path) -> None:
    """Draw the excess error of each experiment over training, and against 1 - t at the end."""
    figure, axes = new_figure(2, 3, size=(14, 7.5))
    for column, (title, group) in enumerate(EXPERIMENTS.items()):
        for index, case in enumerate(group):
            for ax, metric in zip(
                axes[:, column], ("x1_excess", "x1_excess_by_remaining"), strict=True
            ):
                places, (centre, low, high) = table.band(case, metric)
                ax.plot(places, centre, color=COLOURS[index], label=case)
                ax.fill_between(places, low, high, color=COLOURS[index], alpha=0.2)
        axes[0, column].set_yscale("log")
        axes[1, column].set_xscale("log")
        axes[1, column].set_yscale("log")
        finish(axes[0, column], title, "training step", "excess error of x1", legend=True)
        finish(axes[1, column], "at the end", "1 - t", "excess error of x1")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "time_weighting.png")


def main() -> None:
    """Run what is missing, print the summary, draw the figure."""
    chosen = options(__doc__, steps=4000, seeds=5)
    warnings.simplefilter("ignore", ObjectiveWarning)  # singular cells are the subject
    table, law = Table("time_weighting", chosen.steps), mixture()
    judge = Judge(law)
    for seed in range(chosen.seeds):
        for case in CASES:
            if not table.has(case, seed):
                table.add(case, seed, list(run(case, seed, chosen.steps, law, judge)))
    metrics = ["final_x1_excess", "final_velocity_excess", "gradient_spike", "energy_distance"]
    table.print(list(CASES), metrics)
    pairs = [tuple(group) for group in EXPERIMENTS.values()]
    table.conclude(*(table.compare(*pair, metric) for pair in pairs for metric in metrics))
    draw(table, chosen.out)


if __name__ == "__main__":
    main()
