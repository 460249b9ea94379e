"""The divergence of the ends for mixtures, against quadrature on the transition kernels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from precond_gm.closed_form import AbstractBridge, BinaryBridge, GaussianMixtureBridge
from precond_gm.diagnostics import step_size
from precond_gm.solvers import grids

TWO = GaussianMixtureBridge([0.3, 0.7], [[-1.0], [1.5]], 0.2)
OTHER = GaussianMixtureBridge([0.5, 0.5], [[-0.5], [1.0]], 0.4)
BOTH = GaussianMixtureBridge(  # their product: both coordinates are independent, and stay so
    [0.15, 0.15, 0.35, 0.35],
    [[-1.0, -0.5], [-1.0, 1.0], [1.5, -0.5], [1.5, 1.0]],
    torch.tensor([[0.2, 0.4]] * 4),
)


def quadrature(bridge: AbstractBridge, times: Tensor, shift: float = 0.0) -> float:
    """Return KL(target || generated) in one dimension: densities on a fine mesh, step by step.

    ``shift`` is a constant error of the drift.
    """
    mesh = torch.linspace(-9, 9, 901, dtype=torch.float64)
    width, x = float(mesh[1] - mesh[0]), mesh[:, None]
    q = torch.exp(-0.5 * mesh**2) / math.sqrt(2 * math.pi)
    for t, h in zip(times[:-1].tolist(), times.diff().tolist(), strict=True):
        landing = (x + h * (bridge.drift(t, x) + shift)).T
        kernel = torch.exp(-((x - landing) ** 2) / (2 * bridge.sigma**2 * h))
        q = kernel @ q * width / math.sqrt(2 * math.pi * bridge.sigma**2 * h)
    log_p = bridge.log_density(float(times[-1]), x)
    return float((log_p.exp() * (log_p - q.clamp_min(1e-300).log())).sum() * width)


@pytest.mark.parametrize("end", [1.0, 0.9])
def test_one_dimension(end: float) -> None:
    """Within 4 jackknife errors of the quadrature, whose mesh of 0.02 is exact to 1e-9."""
    found = step_size(TWO, steps=(8, 16), num_samples=1536, t_max=end)
    assert found.marginal_kl is not None
    for i, n in enumerate(found.steps):
        exact = quadrature(TWO, grids.uniform(n, end))
        assert abs(float(found.marginal_kl[i]) - exact) < 4 * float(
            found.standard_errors["marginal_kl"][i]
        )
        assert float(found.standard_errors["marginal_kl"][i]) < exact / 2


def test_product_of_two() -> None:
    """Independent coordinates: the divergence is the sum of both. 4 errors."""
    found = step_size(BOTH, steps=(8,), num_samples=1536)
    assert found.marginal_kl is not None
    exact = sum(quadrature(part, grids.uniform(8)) for part in (TWO, OTHER))
    gap = abs(float(found.marginal_kl[0]) - exact)
    assert gap < 4 * float(found.standard_errors["marginal_kl"][0])


def test_model_with_a_drift_error() -> None:
    """A constant error of the drift shows. Oracle: quadrature with the same drift; 4 errors."""
    found = step_size(
        lambda t, z, label=None: TWO(t, z) + 0.4, reference=TWO, steps=(16,), num_samples=2048,
        num_reference=2048,
    )  # fmt: skip
    assert found.marginal_kl is not None
    gap = abs(float(found.marginal_kl[0]) - quadrature(TWO, grids.uniform(16), 0.4))
    assert gap < 4 * float(found.standard_errors["marginal_kl"][0])


def test_other_bridges_and_too_few_rows() -> None:
    """Any bridge with a density has it; in many dimensions it is refused with a reason."""
    bits = step_size(BinaryBridge(dim=1), steps=(8,), num_samples=1024, t_max=0.8)
    assert bits.marginal_kl is not None
    exact = quadrature(BinaryBridge(dim=1), grids.uniform(8, 0.8))
    assert abs(float(bits.marginal_kl[0]) - exact) < 4 * float(
        bits.standard_errors["marginal_kl"][0]
    )
    wide = GaussianMixtureBridge([0.5, 0.5], torch.zeros(2, 12).double(), 0.3)
    found = step_size(wide, steps=(16,), num_samples=128)
    assert found.marginal_kl is None
    assert "rows make up the density" in found.meaning["marginal_kl"]
