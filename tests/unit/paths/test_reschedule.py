"""One network, sampled along another path than it was trained on."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import Tensor

from precond_gm.errors import IncompatiblePartsError
from precond_gm.paths import (
    REGISTRY,
    AbstractPath,
    BrownianBridge,
    Interpolant,
    LinearPath,
    Rescheduled,
    Trigonometric,
    Warped,
)
from precond_gm.values import TargetKind

MEAN, SCALE = 0.7, 1.6


def exact(path: AbstractPath, kind: TargetKind) -> object:
    """Return the exact field for z0 ~ N(0, 1), z1 ~ N(MEAN, SCALE^2), by Gaussian conditioning."""

    def field(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        c = path.coefficients(t)
        alpha, beta, noise = (v[:, None] for v in (c.alpha, c.beta, c.variance))
        variance = alpha**2 + beta**2 * SCALE**2 + noise
        gap = (z - beta * MEAN) / variance
        slope = 2 * (alpha * c.alpha_slope[:, None] + beta * c.beta_slope[:, None] * SCALE**2)
        if kind is TargetKind.X1:
            return MEAN + beta * SCALE**2 * gap
        if kind is TargetKind.X0:
            return alpha * gap
        if kind is TargetKind.SCORE:
            return -gap
        if kind is TargetKind.NOISE:
            return noise.sqrt() * gap
        velocity = c.beta_slope[:, None] * MEAN + (slope + c.variance_slope[:, None]) / 2 * gap
        if kind is TargetKind.DRIFT:
            return velocity - path.diffusion**2 / 2 * gap
        return velocity

    return field


def cells() -> list[tuple[AbstractPath, AbstractPath, TargetKind, TargetKind]]:
    paths = [REGISTRY.create(name) for name in REGISTRY.names()]
    kinds = (TargetKind.X1, TargetKind.X0, TargetKind.SCORE, TargetKind.VELOCITY)
    same = [(one, two, kind, kind) for one, two in permutations(paths, 2) for kind in kinds]
    bridge, line = BrownianBridge(), LinearPath()
    return [
        *same,
        (bridge, line, TargetKind.DRIFT, TargetKind.VELOCITY),
        (line, bridge, TargetKind.VELOCITY, TargetKind.DRIFT),
        (bridge, Interpolant(), TargetKind.NOISE, TargetKind.NOISE),
        (line, bridge, TargetKind.X0, TargetKind.DRIFT),
    ]


@pytest.mark.parametrize(("trained", "wanted", "prediction", "give"), cells())
def test_the_exact_field_stays_exact(
    trained: AbstractPath, wanted: AbstractPath, prediction: TargetKind, give: TargetKind
) -> None:
    """Oracle: the exact Gaussian field of the other path. Tolerance: float64 through bisection."""
    field = Rescheduled(exact(trained, prediction), trained, wanted, prediction, give, True)
    t = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
    z = torch.linspace(-2, 2, 7, dtype=torch.float64)[:, None]
    torch.testing.assert_close(field(t, z), exact(wanted, give)(t, z), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "prediction", [TargetKind.X1, TargetKind.X0, TargetKind.SCORE, TargetKind.VELOCITY]
)
def test_the_start_is_finite(prediction: TargetKind) -> None:
    """Oracle: the exact field at t = 0, where sampling starts, in float32."""
    trained, wanted = LinearPath(), Trigonometric()
    field = Rescheduled(
        exact(trained, prediction), trained, wanted, prediction, gaussian_source=True
    )
    t, z = torch.zeros(3), torch.tensor([[-1.0], [0.0], [2.0]])
    torch.testing.assert_close(field(t, z), exact(wanted, prediction)(t, z), rtol=1e-4, atol=1e-5)


def test_x0_needs_no_gaussian_source_on_ode_paths() -> None:
    """Oracle: x0 is the same mean on both paths."""
    wanted = Warped()
    field = Rescheduled(exact(LinearPath(), TargetKind.X0), LinearPath(), wanted, TargetKind.X0)
    t, z = torch.tensor([0.0, 0.3], dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
    torch.testing.assert_close(field(t, z), exact(wanted, TargetKind.X0)(t, z))


def test_labels_reach_the_network() -> None:
    """Oracle: a network that returns its label."""
    field = Rescheduled(
        lambda t, z, label: label[:, None] + 0 * z, LinearPath(), Trigonometric(), TargetKind.X1
    )
    got = field(torch.full((2,), 0.5), torch.zeros(2, 1), torch.tensor([3, 4]))
    assert got.flatten().tolist() == [3.0, 4.0]


def test_paths_with_noise_need_a_gaussian_source() -> None:
    """Oracle: the error's text says what to use."""
    with pytest.raises(IncompatiblePartsError, match="Use the coupling 'independent'"):
        Rescheduled(lambda t, z, label: z, BrownianBridge(), LinearPath(), TargetKind.X1)
    with pytest.raises(IncompatiblePartsError, match="drift is not defined on an ODE path"):
        Rescheduled(
            lambda t, z, label: z,
            BrownianBridge(),
            LinearPath(),
            TargetKind.DRIFT,
            gaussian_source=True,
        )
