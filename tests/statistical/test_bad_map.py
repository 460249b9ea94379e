"""The law that is generated does not depend on the map, however bad it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from precond_gm.preconditioners import REGISTRY, AbstractPreconditioner
from precond_gm.solvers import RK4, integrate

ROWS = 20_000
MEAN = torch.tensor([1.0, -2.0], dtype=torch.float64)
COVARIANCE = torch.tensor([[2.0, 0.9], [0.9, 0.5]], dtype=torch.float64)


def velocity(mean: Tensor, covariance: Tensor) -> object:
    """Return the exact velocity from N(0, I) to a Gaussian on the linear path."""
    eye = torch.eye(2, dtype=torch.float64)

    def field(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        s = t[0]
        gain = (s * covariance - (1 - s) * eye) @ torch.linalg.inv(
            s**2 * covariance + (1 - s) ** 2 * eye
        )
        return mean + (z - s * mean) @ gain.T

    return field


def bad(name: str) -> AbstractPreconditioner:
    """Return a map fitted to data that have nothing to do with the target."""
    draw = torch.Generator().manual_seed(0)
    stretch = torch.tensor([[300.0, 0.0], [200.0, 0.01]], dtype=torch.float64)
    part = REGISTRY.create(name)
    part.fit(torch.randn(500, 2, generator=draw, dtype=torch.float64) @ stretch + 50)
    return part


@pytest.mark.parametrize("name", ["identity", "whiten", "standardize"])
def test_sampled_law_does_not_depend_on_the_map(name: str) -> None:
    """Oracle: the target's mean and covariance, which the exact dynamics of T(x) give back.

    The map is affine, so the law of z is Gaussian and its dynamics are known. Tolerance: 5 sigma
    of 20,000 rows; the solver's error is far below.
    """
    part = bad(name)
    jacobian = torch.autograd.functional.jacobian(lambda v: part(v[None]).value[0], MEAN)
    mean = part(MEAN[None]).value[0]
    covariance = jacobian @ COVARIANCE @ jacobian.T
    draw = torch.Generator().manual_seed(1)
    z0 = torch.randn(ROWS, 2, generator=draw, dtype=torch.float64)
    times = torch.sigmoid(torch.linspace(-14, 14, 301, dtype=torch.float64))  # fine at both ends
    times[0], times[-1] = 0, 1
    z1 = integrate(velocity(mean, covariance), RK4(), times, z0).final
    x = part.inverse(z1).value
    sigma = 5 * ROWS**-0.5
    deviation = COVARIANCE.diagonal().sqrt()
    assert bool(((x.mean(0) - MEAN).abs() < sigma * deviation).all())
    gap = (torch.cov(x.T) - COVARIANCE).abs() / torch.outer(deviation, deviation)
    assert bool((gap < 1.5 * sigma).all())
