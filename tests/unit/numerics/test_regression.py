"""Best linear predictors and what solvers do to exact fields, against closed forms."""

from __future__ import annotations

import pytest
import torch

from precond_gm.errors import IncompatiblePartsError
from precond_gm.numerics.covariance import EndCovariance
from precond_gm.numerics.moments import Moments
from precond_gm.numerics.regression import gain, target_row
from precond_gm.numerics.solver_bias import exact_field_recovery
from precond_gm.paths import BrownianBridge, LinearPath
from precond_gm.values import Pairing, TargetKind

KINDS = [
    (LinearPath(), TargetKind.VELOCITY),
    (LinearPath(), TargetKind.X1),
    (LinearPath(), TargetKind.X0),
    (BrownianBridge(), TargetKind.X1),
    (BrownianBridge(), TargetKind.DRIFT),
    (BrownianBridge(), TargetKind.NOISE),
    (BrownianBridge(), TargetKind.SCORE),
    (BrownianBridge(), TargetKind.VELOCITY),
]


@pytest.mark.parametrize(("path", "kind"), KINDS)
def test_gain_is_least_squares_on_drawn_points(
    path: LinearPath | BrownianBridge, kind: TargetKind
) -> None:
    """Oracle: least squares on 50,000 points of the path, correlated ends; error about 1 %."""
    g = torch.Generator().manual_seed(0)
    z1 = torch.randn(50_000, 2, generator=g, dtype=torch.float64) * torch.tensor([0.5, 2.0])
    z0 = 0.6 * z1.flip(1) + torch.randn(50_000, 2, generator=g, dtype=torch.float64)
    joint = Moments.of(torch.cat((z0, z1), 1))
    covariance = EndCovariance.of_pairs(joint, match_source=False)
    t = torch.tensor([0.6], dtype=torch.float64)
    point = path.sample(Pairing(z0, z1), t.expand(50_000), target=kind, generator=g)
    x, y = (rows - rows.mean(0) for rows in (point.z_t, point.target))
    expected = torch.linalg.lstsq(x, y).solution.T
    found = gain(covariance, path.coefficients(t), kind)[0]
    torch.testing.assert_close(found, expected, rtol=0.06, atol=0.06)


def test_a_target_that_does_not_exist_is_refused() -> None:
    """Oracle: noise is undefined on a path without noise; the message lists what there is."""
    c = LinearPath().coefficients(torch.tensor([0.5]))
    with pytest.raises(IncompatiblePartsError, match="velocity"):
        target_row(c, TargetKind.NOISE)


@pytest.mark.parametrize(
    ("path", "order"), [(LinearPath(), 1), (LinearPath(), 2), (BrownianBridge(), 1)]
)
def test_recovery_of_the_exact_field_converges(
    path: LinearPath | BrownianBridge, order: int
) -> None:
    """Oracle: the error halves with the step at least (Heun's falls by four)."""
    values = torch.tensor([0.1, 0.5, 1.0, 5.0, 20.0], dtype=torch.float64)
    errors = []
    for steps in (400, 800):
        grid = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        ratio = exact_field_recovery(values, path.coefficients, path.kind, grid, order=order)
        errors.append((ratio - 1).abs())
    assert (errors[1] < 0.55 * errors[0] + 1e-6).all()


def test_euler_maruyama_of_unit_gaussians() -> None:
    """Oracle: drift -z, so the variance obeys v' = (1 - h)^2 v + 2 h: a geometric series."""
    h, unit = 1 / 8, torch.ones(1, dtype=torch.float64)
    path = BrownianBridge()
    grid = torch.linspace(0, 1, 9, dtype=torch.float64)
    ratio = exact_field_recovery(unit, path.coefficients, path.kind, grid)
    square = (1 - h) ** 2
    expected = square**8 + 2 * h * (1 - square**8) / (1 - square)
    assert float(ratio) == pytest.approx(expected)
