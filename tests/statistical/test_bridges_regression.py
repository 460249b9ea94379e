"""Exact dynamics are conditional means: their residual is orthogonal to every function of z_t."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from precond_gm.closed_form import (
    AbstractBridge,
    BinaryBridge,
    EmpiricalBridge,
    GaussianBridge,
    GaussianMixtureBridge,
    PointMassBridge,
)

F64 = torch.float64
DRAWS = 60_000

BRIDGES: dict[str, Callable[[], AbstractBridge]] = {
    "gaussian": lambda: GaussianBridge(
        0.5,
        [[1.0, 0.3], [0.3, 2.0]],
        [1.0, -1.0],
        [[0.5, -0.2], [-0.2, 0.4]],
        [[0.3, 0.2], [0.0, 0.4]],
    ),
    "gaussian, sigma 0.5": lambda: GaussianBridge(0.0, 1.0, 1.0, [0.2, 3.0], sigma=0.5),
    "mixture": lambda: GaussianMixtureBridge([0.3, 0.7], [[-2.0, 0.0], [1.0, 1.0]], 0.4),
    "mixture, linear": lambda: GaussianMixtureBridge(
        [0.3, 0.7], [[-2.0, 0.0], [1.0, 1.0]], [[0.4, 1.0], [0.1, 0.2]], sigma=0.0
    ),
    "point": lambda: PointMassBridge([1.0, -1.0], sigma=1.0),
    "binary": lambda: BinaryBridge(dim=2),
    "empirical": lambda: EmpiricalBridge(
        torch.randn(9, 2, dtype=F64, generator=torch.Generator().manual_seed(1)), sigma=0.8
    ),
}


def features(z: Tensor) -> Tensor:
    """Functions that see means, slopes, curvature and structure at the scale of the modes."""
    columns = [torch.ones_like(z[:, 0]), *z.T, z[:, 0] * z[:, 1], *(z**2).T]
    return torch.stack([*columns, *torch.sin(3 * z).T, *torch.tanh(2 * z).T], 1)


@pytest.mark.parametrize("t", [0.15, 0.5, 0.85])
@pytest.mark.parametrize("name", BRIDGES)
def test_residuals_are_orthogonal(name: str, t: float) -> None:
    """E[(target - mean(z_t)) f(z_t)] = 0 for the targets of each pair, drawn independently.

    Oracle: regression on many draws. Tolerance: 5 standard errors, over 24 numbers per quantity.
    """
    bridge = BRIDGES[name]()
    source = torch.Generator().manual_seed(11)
    pairs = bridge.sample_pairs(DRAWS, generator=source)
    noise = torch.randn(DRAWS, 2, dtype=F64, generator=source)
    gamma = bridge.sigma * math.sqrt(t * (1 - t))
    z = (1 - t) * pairs.z0 + t * pairs.z1 + gamma * noise
    targets = {
        "drift": (pairs.z1 - z) / (1 - t) if bridge.sigma else pairs.z1 - pairs.z0,
        "posterior_mean": pairs.z1,
        "posterior_mean0": pairs.z0,
        "velocity": pairs.z1 - pairs.z0,
    }
    if bridge.sigma:
        slope = bridge.sigma**2 * (1 - 2 * t) / (2 * gamma)
        targets["velocity"] = targets["velocity"] + slope * noise
        targets["backward_drift"] = (pairs.z0 - z) / t
        targets["score"] = -noise / gamma
    for quantity, target in targets.items():
        residual = target - getattr(bridge, quantity)(t, z)
        products = residual.unsqueeze(2) * features(z).unsqueeze(1)
        deviation = products.std(0).clamp_min(1e-12)
        error = products.mean(0).abs() / (deviation / math.sqrt(DRAWS))
        exact = products.abs().amax(0) < 1e-9  # a target that z_t determines leaves no residual
        assert float(error.masked_fill(exact, 0).max()) < 5, quantity
