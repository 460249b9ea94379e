"""The same marginals at any noise level, and back from data to noise, for exact Gaussian fields."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import precond_gm as pg
from precond_gm.errors import IncompatiblePartsError, InvalidInputError
from precond_gm.paths import AbstractPath
from precond_gm.values import TargetKind

VARIANCE = torch.tensor([4.0, 0.25], dtype=torch.float64)
ROWS, STEPS = 8_000, 200
PATHS = pg.paths.REGISTRY.names()


class ExactMean(nn.Module):
    """E[z1 | z_t] for independent N(0, I) and N(0, diag(VARIANCE)): a scalar regression."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma
        self.anchor = nn.Parameter(torch.zeros(1, dtype=torch.float64))  # sets the precision

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        t = t[:, None]
        noise = (1 - t).square() + self.sigma**2 * t * (1 - t)
        return z * t * VARIANCE / (noise + t.square() * VARIANCE)


class Exact(nn.Module):
    """The exact mean of any prediction, for the same ends on any path: Gaussian conditioning."""

    def __init__(self, path: AbstractPath, kind: TargetKind) -> None:
        super().__init__()
        self.path, self.kind = path, kind
        self.anchor = nn.Parameter(torch.zeros(1, dtype=torch.float64))  # sets the precision

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        c = self.path.coefficients(t)
        alpha, beta, noise = (v[:, None] for v in (c.alpha, c.beta, c.variance))
        gap = z / (alpha**2 + beta**2 * VARIANCE + noise)
        if self.kind is TargetKind.X1:
            return beta * VARIANCE * gap
        if self.kind is TargetKind.X0:
            return alpha * gap
        if self.kind is TargetKind.SCORE:
            return -gap
        if self.kind is TargetKind.NOISE:
            return noise.sqrt() * gap
        slope = alpha * c.alpha_slope[:, None] + beta * c.beta_slope[:, None] * VARIANCE
        velocity = (slope + c.variance_slope[:, None] / 2) * gap
        drift = velocity - self.path.diffusion**2 / 2 * gap
        return velocity if self.kind is TargetKind.VELOCITY else drift


def exact(path: Any, kind: TargetKind) -> pg.PreconditionedFlow:
    way = pg.paths.REGISTRY.resolve(path)
    return pg.wrap(Exact(way, kind), path=way, prediction=kind, event_shape=(2,))


def exact_flow(path: str) -> pg.PreconditionedFlow:
    sigma = 0.0 if path == "linear" else 2**0.5
    return pg.wrap(ExactMean(sigma), path=path, prediction="x1", event_shape=(2,))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def assert_variance(rows: Tensor, expected: Tensor) -> None:
    """Six standard errors of a variance, plus 2 % for the step size (order 1 / STEPS)."""
    tolerance = expected * (6 * (2 / ROWS) ** 0.5 + 0.02)
    assert ((rows.var(0) - expected).abs() < tolerance).all(), rows.var(0)


@pytest.mark.parametrize("path", ["linear", "brownian-bridge"])
@pytest.mark.parametrize("noise_level", [None, 0.0, 0.3, 1.0])
def test_every_noise_level_has_the_same_end(path: str, noise_level: float | None) -> None:
    """The Fokker-Planck equation is the same for all. Oracle: the target's variance."""
    drawn = exact_flow(path).sample(ROWS, steps=STEPS, noise_level=noise_level, generator=seeded())
    assert_variance(drawn.x, VARIANCE)


@pytest.mark.parametrize("path", ["linear", "brownian-bridge"])
def test_encoding_gives_noise(path: str) -> None:
    """Data to noise. Oracle: the source's variance, one."""
    x = torch.randn(ROWS, 2, generator=seeded(), dtype=torch.float64) * VARIANCE.sqrt()
    noise = exact_flow(path).encode(x, steps=STEPS, generator=seeded())
    assert_variance(noise, torch.ones_like(VARIANCE))


@pytest.mark.filterwarnings("ignore::precond_gm.errors.SingularCellWarning")
@pytest.mark.parametrize("kind", TargetKind)
def test_every_prediction_on_the_bridge_encodes(kind: TargetKind) -> None:
    """The backward drift is 0/0 at t = 1 for most of them. Oracle: the source's variance, one."""
    x = torch.randn(ROWS, 2, generator=seeded(), dtype=torch.float64) * VARIANCE.sqrt()
    noise = exact("brownian-bridge", kind).encode(x, steps=STEPS, generator=seeded())
    assert_variance(noise, torch.ones_like(VARIANCE))


@pytest.mark.parametrize("path", [name for name in PATHS if name != "brownian-bridge"])
@pytest.mark.parametrize("kind", [TargetKind.X1, TargetKind.X0, TargetKind.VELOCITY])
def test_every_ode_path_encodes(path: str, kind: TargetKind) -> None:
    """Oracle: the source's variance, one; nothing is asked beyond what was trained."""
    x = torch.randn(ROWS, 2, generator=seeded(), dtype=torch.float64) * VARIANCE.sqrt()
    flow, seen = exact(path, kind), [0.0]

    def watched(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        seen.append(float(t.max()))
        return flow.field(t, z, label)

    noise = flow.encode(x, steps=60, field=watched)  # Heun: the error is far below 2 % already
    assert_variance(noise, torch.ones_like(VARIANCE))
    assert max(seen) <= flow.t_max


def test_the_ode_encodes_and_decodes_to_the_same_row() -> None:
    """Backward then forward is the identity up to the solver. Oracle: the row; order 1 / STEPS."""
    flow = exact_flow("linear")
    x = torch.randn(50, 2, generator=seeded(), dtype=torch.float64) * VARIANCE.sqrt()
    noise = flow.encode(x, steps=STEPS)
    process = flow.process()
    back = pg.solvers.integrate(
        process.dynamics,
        pg.solvers.Heun(),
        torch.linspace(0, 1, STEPS + 1, dtype=torch.float64),
        noise,
        last_step="euler",
    ).final
    torch.testing.assert_close(back, x, rtol=0, atol=5 / STEPS)


def test_levels_that_do_not_exist_are_refused() -> None:
    """A negative level, and a score that the coupling hides."""
    with pytest.raises(InvalidInputError, match="noise_level is 0"):
        exact_flow("linear").sample(2, noise_level=-1.0)
    hidden = pg.wrap(ExactMean(0.0), coupling="ot", prediction="x1", event_shape=(2,))
    with pytest.raises(IncompatiblePartsError, match="score"):
        hidden.sample(2, noise_level=0.5)


def test_the_adapted_grid_is_estimated_from_the_flow_itself() -> None:
    """``path-kl-optimal`` needs the dynamics, which the flow has. Oracle: the exact roughness of
    the bridge puts more steps near t = 1 for a narrow target; probes reach it within 10 %.
    """
    flow = exact_flow("brownian-bridge")
    drawn = flow.sample(ROWS, steps=100, grid="path-kl-optimal", generator=seeded())
    assert_variance(drawn.x, VARIANCE)
    exact = pg.closed_form.GaussianBridge(
        torch.zeros(2), torch.eye(2), torch.zeros(2), torch.diag(VARIANCE)
    )
    process = flow.process()
    z0 = torch.randn(256, 2, generator=seeded(), dtype=torch.float64)
    estimated, known = (
        pg.solvers.grids.make("path-kl-optimal", 50, offered=offered)
        for offered in (
            {"dynamics": process.dynamics, "z0": z0, "diffusion": process.diffusion},
            {"roughness": exact.roughness},
        )
    )
    torch.testing.assert_close(estimated, known, rtol=0.1, atol=0.02)


def test_marginals_at_any_time_are_those_of_the_interpolant() -> None:
    """The Markovian projection keeps every marginal (2409.08311, Theorem 1).

    Oracle: Var(z_t) = (1 - t)^2 + t^2 lambda + 2 t (1 - t) of the bridge itself.
    """
    flow = exact_flow("brownian-bridge")
    drawn = flow.sample(ROWS, steps=STEPS, trajectory=True, generator=seeded())
    assert drawn.trajectory is not None
    for t in (0.25, 0.5, 0.75, 1.0):
        expected = (1 - t) ** 2 + t**2 * VARIANCE + 2 * t * (1 - t)
        assert_variance(drawn.trajectory[round(t * STEPS)], expected)


def test_a_predicted_drift_stops_at_t_max() -> None:
    """The drift's variance grows without bound, so training and sampling stop together.

    Oracle: the path's t_max, in the times drawn and in the last time reached.
    """
    flow = pg.wrap(
        pg.models.MLP(2, width=8),
        path=("brownian-bridge", {"t_max": 0.9}),
        prediction="drift",
        event_shape=(2,),
    )
    times = flow.objective.draw_times(4000, t_max=flow.t_max, generator=seeded())
    assert flow.t_max == 0.9
    assert 0.89 < float(times.max()) <= 0.9
    reached: list[float] = []

    def record(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        reached.append(float(t[0]))
        return 0 * z

    flow.sample(2, steps=9, field=record)
    assert max(reached) == pytest.approx(0.8)  # the ninth step goes from 0.8 to 0.9
