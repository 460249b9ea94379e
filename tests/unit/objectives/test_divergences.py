"""Divergences against their generators, on mixtures with a known marginal, and at their borders."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from precond_gm.closed_form import GaussianMixtureBridge
from precond_gm.objectives import compose
from precond_gm.objectives.divergences import (
    REGISTRY,
    BinaryCrossEntropy,
    GeneralisedKL,
    Huber,
    ItakuraSaito,
    LogDet,
    Mahalanobis,
    VonNeumann,
)
from precond_gm.objectives.divergences.matrix_log import matrix_log
from precond_gm.paths import LinearPath
from precond_gm.testing.divergence import draw_targets
from precond_gm.values import Pairing

DOUBLE = torch.float64


def xlogx(a: Tensor) -> Tensor:
    return torch.xlogy(a, a)


GENERATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "squared": lambda a: a.square().sum(),
    "generalised-kl": lambda a: (xlogx(a) - a).sum(),
    "itakura-saito": lambda a: -a.log().sum(),
    "log-det": lambda a: -torch.linalg.slogdet(a).logabsdet,
    "frobenius": lambda a: a.square().sum(),
    "bce": lambda a: (xlogx(a) + xlogx(1 - a)).sum(),
    "cross-entropy": lambda a: xlogx(a).sum(),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_divergence_is_that_of_its_generator(name: str) -> None:
    """Oracle: ``phi(a) - phi(b) - <phi'(b), a - b>`` with phi' by autograd. Tolerance: rounding.

    Cross-entropies carry the entropy of the target, which is subtracted.
    """
    divergence, phi = REGISTRY.create(name), GENERATORS[name]
    a = draw_targets(divergence.domain, 5)
    b = a.flip(0)
    slopes = torch.stack([torch.autograd.functional.jacobian(phi, row) for row in b])
    both = [torch.stack([phi(row) for row in rows]) for rows in (a, b)]
    bregman = both[0] - both[1] - (slopes * (a - b)).flatten(1).sum(1)
    own = divergence(a, divergence.link(a)) if name in ("bce", "cross-entropy") else 0.0
    torch.testing.assert_close(divergence(a, divergence.link(b)) - own, bregman)


def test_von_neumann_by_logarithms_of_commuting_matrices() -> None:
    """Oracle: for diagonal matrices it is the generalised KL of the diagonals."""
    a, b = torch.rand(2, 4, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)) + 0.1
    got = VonNeumann()(torch.diag_embed(a), torch.diag_embed(b))
    torch.testing.assert_close(got, GeneralisedKL()(a, b))


def test_log_det_is_twice_the_gaussian_divergence() -> None:
    """Oracle: KL(N(0, A) || N(0, B)) of torch.distributions."""
    a, b = draw_targets(LogDet.domain, 2)
    zero = torch.zeros(3, dtype=DOUBLE)
    normal = torch.distributions.MultivariateNormal
    exact = 2 * torch.distributions.kl_divergence(normal(zero, a), normal(zero, b))
    torch.testing.assert_close(LogDet()(a[None], b[None])[0], exact)


@pytest.mark.parametrize("gap", [0.0, 1e-9, 1e-5, 0.3])
def test_matrix_log_has_a_finite_derivative_at_equal_eigenvalues(gap: float) -> None:
    """Oracle: central differences of the logarithm. Tolerance: their error, 1e-7."""
    turn = torch.linalg.qr(
        torch.randn(3, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    ).Q
    matrix = turn @ torch.diag(torch.tensor([2.0, 2.0 + gap, 0.5], dtype=DOUBLE)) @ turn.T
    step = torch.tensor([[0.0, 1.0, 0.2], [1.0, 0.3, 0.0], [0.2, 0.0, -1.0]], dtype=DOUBLE)
    weight = torch.arange(9, dtype=DOUBLE).reshape(3, 3)
    h = 1e-4
    numeric = ((matrix_log(matrix + h * step) - matrix_log(matrix - h * step)) * weight).sum() / (
        2 * h
    )
    leaf = matrix.clone().requires_grad_()
    ((weight + weight.T) / 2 * matrix_log(leaf)).sum().backward()
    torch.testing.assert_close((leaf.grad * step).sum(), numeric, rtol=1e-6, atol=1e-7)


def point_mass_mixture(name: str) -> tuple[Tensor, Tensor]:
    """Targets of four point masses and their exact posterior weights at 32 points z_t."""
    targets = draw_targets(REGISTRY.create(name).domain, 4)
    t, g = 0.6, torch.Generator().manual_seed(0)
    z = torch.randn(32, 9, dtype=DOUBLE, generator=g)
    distance = (z[:, None] - t * targets.flatten(1)).square().sum(-1) / (2 * (1 - t) ** 2)
    return targets, (0.02 * -distance).softmax(1)  # flattened, so that several masses count


@pytest.mark.parametrize("name", [n for n in REGISTRY.names() if n != "huber"])
def test_conditional_gradient_is_the_marginal_gradient(name: str) -> None:
    """Oracle: on a mixture of point masses both are finite sums. Tolerance: rounding."""
    divergence = REGISTRY.create(name)
    targets, posterior = point_mass_mixture(name)
    marginal = torch.einsum("nk,kij->nij", posterior, targets)
    guess = divergence.link(draw_targets(divergence.domain, 32).flip(0)).requires_grad_()
    conditional_loss = torch.stack([divergence(a.expand(32, 3, 3), guess) for a in targets], 1)
    (conditional,) = torch.autograd.grad((posterior * conditional_loss).sum(), guess)
    (exact,) = torch.autograd.grad(divergence(marginal, guess).sum(), guess)
    torch.testing.assert_close(conditional, exact, rtol=1e-9, atol=1e-9)


def test_huber_has_another_gradient_and_another_minimiser() -> None:
    """Oracle: targets 0, 0, 9 have mean 3; Huber's stationary point is 1/2 (2 m = 1 there)."""
    target = torch.tensor([[0.0], [0.0], [9.0]], dtype=DOUBLE)
    guess = torch.tensor([[3.0]], dtype=DOUBLE).expand(3, 1).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(Huber()(target, guess).mean(), guess)
    assert float(gradient.sum()) > 0.5  # at the mean it still pulls down
    best = torch.full((3, 1), 0.5, dtype=DOUBLE, requires_grad=True)
    (at_best,) = torch.autograd.grad(Huber()(target, best).mean(), best)
    assert float(at_best.sum()) == pytest.approx(0, abs=1e-12)


def test_conditional_gradient_on_a_gaussian_mixture_path() -> None:
    """Oracle: the exact E[z1 | z_t] of the mixture. Tolerance: 5 standard errors of 200,000 pairs.

    The gradient is that of a linear network on the linear path, for x1-prediction.
    """
    means = [[-2.0, 0.0], [1.5, 1.0]]
    bridge = GaussianMixtureBridge([0.3, 0.7], means, [0.2, 0.5], sigma=0.0)
    g = torch.Generator().manual_seed(0)
    pairs = bridge.sample_pairs(200_000, generator=g)
    t = torch.full((200_000,), 0.7, dtype=DOUBLE)
    objective = compose(LinearPath(), prediction="x1")
    sample = LinearPath().sample(pairs, t, target=objective.loss_space)
    weight = torch.tensor([[0.5, 0.2], [-0.1, 0.9]], dtype=DOUBLE)
    residual = sample.z_t @ weight - sample.target
    exact_residual = sample.z_t @ weight - bridge.posterior_mean(t, sample.z_t)
    per_row = 2 * torch.einsum("ni,nj->nij", sample.z_t, residual - exact_residual)
    error = per_row.std(0) / len(t) ** 0.5
    assert bool((per_row.mean(0).abs() < 5 * error).all())


def test_borders_of_the_domains() -> None:
    """Oracle: the limits: 0 log 0 = 0, log(1 + e^-l) -> 0, Itakura-Saito infinite at 0."""
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    assert float(GeneralisedKL()(zero, 3 * one)) == 3
    assert float(GeneralisedKL()(zero, zero)) == 0
    assert float(GeneralisedKL()(one, zero)) == math.inf
    assert float(ItakuraSaito()(zero, one)) == math.inf
    bce = BinaryCrossEntropy()
    for bit, logit, value in ((one, 200.0, 0.0), (one, -200.0, 200.0), (zero, 200.0, 200.0)):
        guess = torch.full((1, 1), logit, requires_grad=True)
        loss = bce(bit, guess)
        loss.sum().backward()
        assert float(loss.detach()) == pytest.approx(value)
        assert bool(torch.isfinite(guess.grad).all())
    assert float(bce.mean(torch.tensor(200.0))) == 1.0
    singular = torch.diag_embed(torch.tensor([[1.0, 0.0]]))
    assert bool(torch.isfinite(VonNeumann()(singular, torch.eye(2)[None])).all())


def test_gradient_of_a_rate_of_zero_is_finite() -> None:
    """Oracle: d/db (0 log(0/b) - 0 + b) = 1."""
    rate = torch.tensor([[0.0, 2.0]], requires_grad=True)
    GeneralisedKL()(torch.zeros(1, 2), rate).sum().backward()
    assert rate.grad.tolist() == [[1.0, 1.0]]


def test_metric_may_depend_on_time_and_state() -> None:
    """Oracle: the quadratic form written out row by row. Tolerance: rounding."""
    g = torch.Generator().manual_seed(0)
    a, b, z = torch.randn(3, 5, 2, generator=g, dtype=DOUBLE)
    t = torch.rand(5, generator=g, dtype=DOUBLE)

    def metric(t: Tensor, z: Tensor) -> Tensor:
        return torch.diag_embed(1 + z.square()) + t[:, None, None] * torch.eye(2, dtype=DOUBLE)

    got = Mahalanobis(metric).at(t, z)(a, b)
    gap = a - b
    exact = ((1 + z.square() + t[:, None]) * gap.square()).sum(1)
    torch.testing.assert_close(got, exact)
    sample = LinearPath().sample(Pairing(a, b), t)
    terms = compose(LinearPath(), divergence=Mahalanobis(metric))(
        sample, torch.zeros(5, 2, dtype=DOUBLE)
    )
    own = (1 + sample.z_t.square() + t[:, None]) * sample.target.square()
    torch.testing.assert_close(terms.per_row, own.sum(1))
