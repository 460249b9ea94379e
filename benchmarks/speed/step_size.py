"""What a study of eight step sizes costs, and what sharing the noise gains.

Counts, not timings, carry the two claims: evaluations of the network over those of the finest run
alone (at most 2.1), and the variance of differences between neighbouring step sizes with
independent noise over that with shared noise (at least 10). The wall time against the eight runs
made one by one is given beside them.
"""

from __future__ import annotations

import time

import torch
from harness import save

import precond_gm as pg
from precond_gm.diagnostics import step_size
from precond_gm.numerics.brownian import Brownian
from precond_gm.solvers import EulerMaruyama, grids, integrate

STEPS = (8, 16, 32, 64, 128, 256, 512, 1024)
ROWS, DIM = 2048, 8


class Counted:
    """Dynamics that count the rows they see."""

    def __init__(self, dynamics: pg.values.Dynamics) -> None:
        self.dynamics, self.rows = dynamics, 0

    def __call__(
        self, t: torch.Tensor, z: torch.Tensor, label: torch.Tensor | None = None
    ) -> torch.Tensor:
        self.rows += z.shape[0]
        return self.dynamics(t, z, label)


def network() -> pg.values.Dynamics:
    """Return the drift of a network with random weights, x1-prediction."""
    torch.manual_seed(0)
    flow = pg.wrap(pg.models.MLP(DIM, width=64), path="brownian-bridge", event_shape=DIM)
    return flow.process().dynamics


def differences(seed: int, shared: bool) -> torch.Tensor:
    """Return |Y^h|^2 - |Y^2h|^2 of every row and neighbouring pair, shape ``rows pairs``."""
    bridge = pg.closed_form.GaussianBridge(0.0, 1.0, 0.0, 0.25)
    source = torch.Generator().manual_seed(seed)
    times = grids.uniform(STEPS[-1])
    noise = Brownian.draw(times, torch.zeros(ROWS, 1).double(), generator=source)
    z0, ends = torch.randn(ROWS, 1, generator=source).double(), []
    for n in STEPS:
        if not shared:
            noise = Brownian.draw(times, z0, generator=source)
            z0 = torch.randn(ROWS, 1, generator=source).double()
        grid = grids.uniform(n)
        run = integrate(
            bridge, EulerMaruyama(), grid, z0, diffusion=bridge.sigma,
            noise=noise.coarsen(grid).increments,
        )  # fmt: skip
        ends.append(run.final.square().sum(1))
    return torch.stack(ends, 1).diff(dim=1)


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    dynamics = Counted(network())
    source = torch.randn(ROWS, DIM, generator=torch.Generator().manual_seed(1))
    start = time.perf_counter()
    report = step_size(dynamics, steps=STEPS, num_samples=ROWS, source=source)
    together = time.perf_counter() - start
    evaluations = dynamics.rows / (ROWS * STEPS[-1])
    start = time.perf_counter()
    for n in STEPS:
        integrate(network(), EulerMaruyama(), grids.uniform(n, 0.999), source, diffusion=2**0.5)
    apart = time.perf_counter() - start
    gain = differences(0, shared=False).var(0) / differences(0, shared=True).var(0)
    record = {
        "steps": STEPS,
        "rows": ROWS,
        "dim": DIM,
        "evaluations_over_finest": evaluations,
        "evaluations_as_reported": report.evaluations,
        "evaluations_limit": 2.1,
        "variance_ratio_of_neighbours": gain.tolist(),
        "variance_ratio_limit": 10,
        "seconds_together_all_quantities": together,
        "seconds_eight_runs_alone": apart,
        "path_kl": report.path_kl.tolist(),
        "path_kl_error": report.standard_errors["path_kl"].tolist(),
    }
    save("step_size", record)
    print(f"evaluations over the finest run's: {evaluations:.3f} (limit 2.1)")
    print("variance ratio of neighbours:", ", ".join(f"{g:.0f}" for g in gain.tolist()))
    print(f"{together:.1f} s for all quantities; {apart:.1f} s for the eight runs one by one")


if __name__ == "__main__":
    main()
