"""Excess risk of known fields, and contraction of gradient descent against autograd."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import precond_gm as pg
from precond_gm.diagnostics.excess import excess_risk
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.contraction import best_rate, contraction, steps_until

VARIANCES = torch.tensor([0.01, 1.0, 9.0], dtype=torch.float64)


def exact(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
    """Exact velocity of N(0, I) to N(0, diag(VARIANCES)) on the linear path."""
    t = t[:, None].to(z)
    total = (1 - t) ** 2 + t**2 * VARIANCES
    return (t * VARIANCES - (1 - t)) / total * z


class Scaled(nn.Module):
    def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        return exact(t, z) * torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)


def gaussian(rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, 3, generator=generator, dtype=torch.float64) * VARIANCES.sqrt()


def test_excess_of_a_scaled_field() -> None:
    """Oracle: a field that is f times the exact one leaves (1 - f)^2 of each direction."""
    report = excess_risk(pg.wrap(Scaled(), event_shape=(3,)), gaussian(2000), exact=exact)
    expected = torch.tensor([1.0, 0.25, 0.0], dtype=torch.float64)
    torch.testing.assert_close(report.left, expected, rtol=1e-2, atol=1e-2)
    assert all(math.isfinite(v) for v in report.as_metrics().values())
    assert len(report.plot().axes) == 2


def test_minimum_risk_of_a_gaussian() -> None:
    r"""Oracle: theory section 2: the least velocity loss is (pi/2) sum sqrt(lambda).

    The risk is the mean over t of ``|target - exact|^2``: Tolerance: 201 midpoints and 4,000 rows,
    standard error 1 %; five of these.
    """
    from precond_gm.diagnostics.underfit import underfit

    class Exact(nn.Module):
        def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
            return exact(t, z)

    report = underfit(pg.wrap(Exact(), event_shape=(3,)), gaussian(4000), times=201)
    expected = math.pi / 2 * float(VARIANCES.sqrt().sum())
    assert float(report.network_error.sum(1).mean()) == pytest.approx(expected, rel=0.05)


def test_an_exact_mean_of_another_shape_is_refused() -> None:
    """Oracle: the message names both shapes."""
    flow = pg.wrap(Scaled(), event_shape=(3,))
    with pytest.raises(InvalidInputError, match="exact gave rows of shape"):
        excess_risk(flow, gaussian(20), exact=lambda t, z, label: z[:, :2])


def test_contraction_is_what_gradient_descent_does() -> None:
    """Oracle: autograd on the linear regression itself. Tolerance: rounding of 50 steps."""
    sigma = torch.diag(VARIANCES)
    optimum = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64)
    rate = float(best_rate(VARIANCES))
    w = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    for _ in range(50):
        gap = w - optimum
        (gradient,) = torch.autograd.grad(0.5 * (gap @ sigma * gap).sum(), w)
        w = (w - rate * gradient).detach().requires_grad_()
    left = ((w - optimum) / -optimum)[0].detach()
    torch.testing.assert_close(left, contraction(VARIANCES, rate, 50))


def test_steps_until_is_the_inverse_of_the_best_contraction() -> None:
    """Oracle: the definition, for small and huge condition numbers."""
    kappa = torch.tensor([3.0, 1e2, 1e8], dtype=torch.float64)
    steps = steps_until(kappa, 1e-3)
    torch.testing.assert_close(((kappa - 1) / (kappa + 1)) ** steps, torch.full_like(kappa, 1e-3))
    assert float(steps[2]) == pytest.approx(0.5e8 * math.log(1e3), rel=1e-6)
