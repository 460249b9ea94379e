"""A small flow-matching model as a preconditioner."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from precond_gm.preconditioners import REGISTRY, Whiten


class Exact(nn.Module):
    """The velocity between N(0, 1) and N(0, s^2) on the linear path, in closed form."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.variance = deviation**2

    def dynamics(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        t = t.reshape(-1, *[1] * (z.ndim - 1))
        return (t * self.variance - (1 - t)) / (t**2 * self.variance + (1 - t) ** 2) * z


def solved(steps: int, corrections: int = 0, dim: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Return errors of value, log-determinant and round trip for s = 3."""
    part = REGISTRY.create(
        "flow-matching", scaling="identity", steps=steps, corrections=corrections, width=8
    )
    part.double()
    part.build((dim,), None)
    part.network = Exact(3.0)
    rows = torch.randn(5, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image = part(rows)
    back = part.inverse(image.value).value
    return (
        (image.value - rows / 3).abs().max(),
        (image.log_abs_det + dim * math.log(3)).abs().max(),
        (back - rows).abs().max(),
    )


def test_gaussian_flow_converges_with_order_four() -> None:
    """Oracle: the exact map x / s and its log-determinant; halving the step gains 2^4."""
    errors = torch.tensor([solved(steps)[:2] for steps in (16, 32, 64)])
    orders = (errors[:-1] / errors[1:]).log2()
    assert bool((orders > 3.5).all()), orders


def test_corrections_sharpen_the_inverse() -> None:
    """Oracle: the identity; each correction multiplies the error by the solver's own."""
    plain, once, twice = (float(solved(8, corrections=count)[2]) for count in (0, 1, 2))
    assert once < 0.1 * plain
    assert twice < 0.1 * once


def test_estimated_divergence_above_64_features() -> None:
    """Oracle: the exact log-determinant; the probes are exact for a multiple of the identity."""
    assert float(solved(32, dim=70)[1]) < 1e-2


def test_fit_bends_a_bent_law() -> None:
    """Oracle: the likelihood of whitening, which cannot bend; entropy bound -1.634 from above."""
    draw = torch.Generator().manual_seed(0)
    u = torch.randn(1500, 2, generator=draw)
    x = torch.stack([u[:, 0], 0.3 * u[:, 1] + u[:, 0].square()], 1)
    part = REGISTRY.create("flow-matching", max_steps=300, learning_rate=5e-3, width=32)
    report = part.fit(x, generator=torch.Generator().manual_seed(0))
    assert Whiten().fit(x).log_likelihood + 0.2 < report.log_likelihood < -1.634 + 0.3
    assert report.round_trip_error < 1e-3


@pytest.mark.parametrize("labelled", [True, False])
def test_starts_from_its_scaling(labelled: bool) -> None:
    """Oracle: the scaling alone, since the velocity starts at zero."""
    x = torch.randn(100, 2, 3, generator=torch.Generator().manual_seed(0)) * 3
    label = torch.arange(100) % 2 if labelled else None
    part = REGISTRY.create("flow-matching", max_steps=0, width=8, steps=2)
    part.fit(x, label)
    torch.testing.assert_close(part(x, label).value, part.scaling_map(x, label).value)
