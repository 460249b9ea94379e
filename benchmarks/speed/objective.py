"""An objective against ``((pred - target) ** 2).mean()`` in a training step, and what times cost.

Run: python benchmarks/speed/objective.py (about two minutes)

The first part trains the demo's MLP on points that are drawn once, so that the loss is all that
differs. The second part measures, at the price of the drawing itself, by which factor stratified
and low-discrepancy times reduce the variance of the loss estimate of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from harness import line, paired, save, steady_allocator
from torch import Tensor

import precond_gm as pg
from precond_gm.objectives import Objective, compose
from precond_gm.paths import LinearPath
from precond_gm.values import Pairing

DIM, WIDTH, BATCH = 64, 256, 256


def stepper(loss: Callable[[Tensor], Tensor], t: Tensor, z_t: Tensor) -> Callable[[], None]:
    """Make one training step of a loss of the network's output at fixed points."""
    torch.manual_seed(0)
    network = pg.models.MLP(DIM, width=WIDTH)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss(network(t, z_t)).backward()
        optimiser.step()

    return step


def steps_of_training() -> dict[str, Any]:
    """Time a training step under each objective against the loss written by hand."""
    draw = torch.Generator().manual_seed(0)
    z0, z1 = torch.randn(2, BATCH, DIM, generator=draw)
    path, t = LinearPath(), torch.rand(BATCH, generator=draw)
    cases = {
        "aligned, constant weight": compose(path),
        "aligned, inverse-remaining": compose(path, prediction="x1", weight="inverse-remaining"),
        "velocity-prediction, x1-loss": compose(path, prediction="velocity", loss_space="x1"),
    }
    results = {}
    for name, objective in cases.items():
        sample = path.sample(Pairing(z0, z1), t, target=objective.loss_space)
        judged = stepper(lambda out, o=objective, s=sample: o(s, out).total, t, sample.z_t)
        target = sample.target
        by_hand = stepper(lambda out, a=target: ((out - a) ** 2).mean(), t, sample.z_t)
        results[name] = paired(judged, by_hand, blocks=200, block_seconds=0.04)
        print(line(name, results[name]))
    return results


VARIANCE = 0.09  # of the Gaussian data whose best predictor is judged


def batch_loss(objective: Objective, draw: torch.Generator) -> Tensor:
    """Draw one batch and return the loss of the exact posterior mean, where training ends."""
    t = objective.draw_times(BATCH, generator=draw)
    z0, z1 = torch.randn(2, BATCH, DIM, generator=draw)
    pairing = Pairing(z0, VARIANCE**0.5 * z1)
    sample = LinearPath().sample(pairing, t, target=objective.loss_space)
    gain = t * VARIANCE / ((1 - t) ** 2 + t**2 * VARIANCE)
    return objective(sample, gain[:, None] * sample.z_t).total


def training_step(sampling: str) -> Callable[[], None]:
    """Make a whole training step of a flow whose times are drawn in one way."""
    torch.manual_seed(0)
    flow = pg.wrap(
        pg.models.MLP(DIM, width=WIDTH),
        prediction="x1",
        time_law=("uniform", {"sampling": sampling}),
        event_shape=DIM,
    )
    optimiser = torch.optim.Adam(flow.parameters(), lr=1e-4)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, DIM, generator=draw)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        flow.loss(x, generator=draw).total.backward()
        optimiser.step()

    return step


def variance_at_equal_cost() -> dict[str, Any]:
    """Compare ways of drawing times: variance of a batch's loss, and cost of a training step."""
    results: dict[str, Any] = {}
    draw = torch.Generator().manual_seed(0)
    for sampling in ("stratified", "low-discrepancy"):
        cost = paired(training_step(sampling), training_step("iid"), blocks=100)
        for weight in ("constant", "inverse-remaining"):
            variance = []
            for way in ("iid", sampling):
                law = ("uniform", {"sampling": way})
                objective = compose(LinearPath(), prediction="x1", weight=weight, time_law=law)
                losses = torch.stack([batch_loss(objective, draw) for _ in range(2000)])
                variance.append(float(losses.var()))
            name = f"{sampling} times, weight {weight}"
            factor = variance[0] / variance[1]
            results[name] = {"variance_factor": factor, "cost": cost}
            print(f"{line(name, cost)}   variance {factor:.2f} times smaller")
    return results


def main() -> None:
    """Measure, print and save."""
    steady_allocator()
    torch.set_num_threads(1)
    record = {
        "width": WIDTH,
        "batch": BATCH,
        "dim": DIM,
        "training_step": steps_of_training(),
        "times": variance_at_equal_cost(),
    }
    save("objective", record)


if __name__ == "__main__":
    main()
