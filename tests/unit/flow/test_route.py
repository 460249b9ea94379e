"""A trained flow, sampled along another path: the same law, without retraining."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import precond_gm as pg
from precond_gm.errors import IncompatiblePartsError, InvalidInputError
from precond_gm.paths import AbstractPath, BrownianBridge, Rescheduled, Trigonometric
from precond_gm.values import TargetKind

VARIANCE = torch.tensor([4.0, 0.25], dtype=torch.float64)
ROWS, STEPS = 4_000, 50
CELLS = [
    *(("linear", "velocity", wanted) for wanted in pg.paths.REGISTRY.names()),
    ("linear", "x1", "brownian-bridge"),
    ("linear", "x0", "trigonometric"),
    ("vp", "velocity", "linear"),
    ("brownian-bridge", "x1", "schedule"),
    ("brownian-bridge", "drift", "linear"),
    ("brownian-bridge", "noise", "trigonometric"),
    ("interpolant", "velocity", "linear"),
]


class Exact(nn.Module):
    """The exact mean of a prediction for z0 ~ N(0, I), z1 ~ N(0, diag(VARIANCE)), independent."""

    def __init__(self, path: AbstractPath, kind: TargetKind) -> None:
        super().__init__()
        self.path, self.kind, self.latest = path, kind, 0.0
        self.anchor = nn.Parameter(torch.zeros(1, dtype=torch.float64))  # sets the precision

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        self.latest = max(self.latest, float(t.max()))
        c = self.path.coefficients(t)
        alpha, beta, noise = (v[:, None] for v in (c.alpha, c.beta, c.variance))
        gap = z / (alpha**2 + beta**2 * VARIANCE + noise)
        slope = alpha * c.alpha_slope[:, None] + beta * c.beta_slope[:, None] * VARIANCE
        velocity = (slope + c.variance_slope[:, None] / 2) * gap
        return {
            TargetKind.X1: beta * VARIANCE * gap,
            TargetKind.X0: alpha * gap,
            TargetKind.NOISE: noise.sqrt() * gap,
            TargetKind.VELOCITY: velocity,
            TargetKind.DRIFT: velocity - self.path.diffusion**2 / 2 * gap,
        }[self.kind]


def exact(name: str, kind: str) -> pg.PreconditionedFlow:
    path, prediction = pg.paths.REGISTRY.create(name), TargetKind(kind)
    return pg.wrap(Exact(path, prediction), path=path, prediction=prediction, event_shape=(2,))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.filterwarnings("ignore::precond_gm.errors.SingularCellWarning")
@pytest.mark.parametrize(("trained", "kind", "wanted"), CELLS)
def test_the_law_is_that_of_the_trained_flow(trained: str, kind: str, wanted: str) -> None:
    """Oracle: the variance of the data, which every path ends in, for an exact Gaussian field.

    Tolerance: six standard errors of a variance, and 3 % for the step size (order 1 / STEPS).
    Nothing is asked of the network beyond the times that it was trained on.
    """
    flow = exact(trained, kind)
    drawn = flow.sample(ROWS, steps=STEPS, path=wanted, generator=seeded())
    tolerance = VARIANCE * (6 * (2 / ROWS) ** 0.5 + 0.03)
    assert ((drawn.x.var(0) - VARIANCE).abs() < tolerance).all(), drawn.x.var(0)
    assert flow.field.model.latest <= flow.t_max + 1e-9


@pytest.mark.parametrize("noise_level", [0.0, 0.5])
def test_noise_levels_hold_on_the_other_path(noise_level: float) -> None:
    """Oracle: the variance of z_t on the other path, cos^2 + sin^2 lambda, halfway."""
    drawn = exact("linear", "velocity").sample(
        ROWS,
        steps=STEPS,
        path="trigonometric",
        noise_level=noise_level,
        generator=seeded(),
        trajectory=True,
    )
    halfway = 0.5 + 0.5 * VARIANCE
    assert drawn.trajectory is not None
    tolerance = halfway * (6 * (2 / ROWS) ** 0.5 + 0.03)
    assert ((drawn.trajectory[STEPS // 2].var(0) - halfway).abs() < tolerance).all()


def test_the_path_of_training_changes_nothing() -> None:
    """By name, too. Oracle: bit-equal samples."""
    flow = exact("linear", "velocity")
    plain, same = (
        flow.sample(5, steps=4, path=path, generator=seeded()).x for path in (None, "linear")
    )
    assert torch.equal(plain, same)


def test_a_schedule_of_the_user_and_labels_and_the_map() -> None:
    """Oracle: the same steps by hand, with Rescheduled, for a labelled flow behind a map."""
    torch.manual_seed(0)
    net = pg.models.MLP(2, num_labels=2, width=8)
    flow = pg.wrap(net, preconditioner="standardize", num_labels=2)
    x = torch.randn(64, 2, generator=seeded()) * 5 + 3
    flow.fit_preconditioner(x, torch.arange(64) % 2)
    wanted = pg.paths.Warped(lambda t: torch.sin(math.pi / 2 * t) ** 2)
    label = torch.tensor([0, 1, 1])
    got = flow.sample(label, steps=6, path=wanted, generator=seeded())
    field = Rescheduled(
        flow.field,
        flow.path,
        wanted,
        TargetKind.VELOCITY,
        gaussian_source=True,
    )
    z0 = torch.randn(3, 2, generator=seeded())
    times = torch.linspace(0, 1, 7, dtype=torch.float64)
    with torch.no_grad():
        end = pg.solvers.integrate(
            field, pg.solvers.Heun(), times, z0, label=label, last_step="euler"
        ).final
        by_hand = flow.preconditioner.inverse(end, label).value
    torch.testing.assert_close(got.x, by_hand, rtol=1e-3, atol=1e-3)


def test_a_cut_of_training_is_carried_over() -> None:
    """A drift known up to 0.9. Oracle: tan of the share of data there, on the quarter circle."""
    path = BrownianBridge(t_max=0.9)
    flow = pg.wrap(Exact(path, TargetKind.DRIFT), path=path, prediction="drift", event_shape=(2,))
    noise = math.sqrt(0.1**2 + 2 * 0.9 * 0.1)
    last = math.atan(0.9 / noise) / (math.pi / 2)
    with pytest.raises(InvalidInputError, match=f"trained up to t = {last:.6g} only"):
        flow.sample(2, steps=4, path="trigonometric", t_max=1.0)
    flow.sample(2, steps=400, path="trigonometric", solver="euler")
    assert 0.89 < flow.field.model.latest <= 0.9


def test_a_head_of_logits_is_read_once() -> None:
    """The divergence turns logits into means. Oracle: Rescheduled with the means by hand."""
    net = pg.models.MLP(2, width=8)
    flow = pg.wrap(net, divergence="bce", prediction="x1", event_shape=(2,))
    t, z = torch.full((3,), 0.4), torch.randn(3, 2, generator=seeded())
    mean = Rescheduled(
        lambda t, z, label: flow.objective.mean(flow.field(t, z, label)),
        flow.path,
        Trigonometric(),
        TargetKind.X1,
        TargetKind.VELOCITY,
    )
    torch.testing.assert_close(flow.process(path="trigonometric").dynamics(t, z), mean(t, z))


def test_what_cannot_be_carried_over_is_refused() -> None:
    """Oracle: the error's text says what would work."""
    flow = pg.wrap(pg.models.MLP(2, width=8), coupling="ot", event_shape=(2,))
    with pytest.raises(IncompatiblePartsError, match="Use the coupling 'independent'"):
        flow.sample(2, path="brownian-bridge")
    assert flow.sample(2, steps=2, path="trigonometric").x.shape == (2, 2)
    with pytest.raises(IncompatiblePartsError, match="target is a VELOCITY"):
        flow.sample(2, path="trigonometric", solver="euler-maruyama")
