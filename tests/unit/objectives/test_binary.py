"""Binary data: exact logits, bits at the end, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal

import precond_gm as pg
from precond_gm.errors import IncompatiblePartsError, InvalidInputError
from precond_gm.objectives import BitLogits, compose, fair_bit_logit
from precond_gm.objectives.divergences import BinaryCrossEntropy
from precond_gm.paths import BrownianBridge, LinearPath
from precond_gm.values import Pairing

PATHS = [LinearPath(), BrownianBridge(), BrownianBridge(sigma=0.7)]
DOUBLE = torch.float64


def by_bayes(path, t: torch.Tensor, z: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """P(high | z_t = z) from the two Gaussian densities of z_t."""
    c = path.coefficients(t)
    scale = (c.alpha.square() + c.variance).sqrt()
    densities = [Normal(c.beta * value, scale).log_prob(z) for value in (low, high)]
    return (densities[1] - densities[0]).sigmoid()


@pytest.mark.parametrize("path", PATHS, ids=repr)
@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1.0), (-2.0, 5.0)])
def test_posterior_of_fair_bits(path, low: float, high: float) -> None:
    """Oracle: Bayes' rule with torch.distributions. Tolerance: rounding of densities."""
    g = torch.Generator().manual_seed(0)
    t = torch.rand(50, generator=g, dtype=DOUBLE) * 0.9 + 0.05
    z = 2 * torch.randn(50, generator=g, dtype=DOUBLE)
    logit = fair_bit_logit(path, t, z[:, None], low, high)[:, 0]
    torch.testing.assert_close(
        logit.sigmoid(), by_bayes(path, t, z, low, high), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize(
    ("path", "c"), [(PATHS[0], lambda t: (1 - t) ** 2), (PATHS[1], lambda t: 1 - t**2)]
)
def test_posterior_mean_of_signs_is_a_tanh(path, c) -> None:
    """Oracle: theory.md section 5: tanh(t x / c), c = (1-t)^2 or 1 - t^2."""
    t, z = torch.linspace(0.1, 0.9, 9, dtype=DOUBLE), torch.linspace(-2, 2, 9, dtype=DOUBLE)
    logit = fair_bit_logit(path, t, z[:, None], -1.0, 1.0)
    mean = BinaryCrossEntropy(low=-1.0, high=1.0).mean(logit)[:, 0]
    torch.testing.assert_close(mean, torch.tanh(t * z / c(t)))


def test_logit_of_zero_one_bits() -> None:
    """Oracle: theory.md section 5: t (x - t/2) / c."""
    t, z = torch.tensor([0.5], dtype=DOUBLE), torch.tensor([[0.8]], dtype=DOUBLE)
    logit = fair_bit_logit(LinearPath(), t, z, 0.0, 1.0)
    assert float(logit) == pytest.approx(0.5 * (0.8 - 0.25) / 0.25)


def test_the_exact_logit_has_zero_gradient_on_fair_bits() -> None:
    """Oracle: the conditional mean minimises. Tolerance: 5 standard errors of 100,000 rows."""
    path, n = LinearPath(), 100_000
    objective = compose(path, prediction="x1", divergence=("bce", {"low": -1.0, "high": 1.0}))
    g = torch.Generator().manual_seed(0)
    bits = torch.randint(0, 2, (n, 1), generator=g).to(DOUBLE) * 2 - 1
    noise = torch.randn(n, 1, generator=g, dtype=DOUBLE)
    t = torch.rand(n, generator=g, dtype=DOUBLE) * 0.8
    sample = path.sample(Pairing(noise, bits), t, target=objective.loss_space)
    shift = torch.zeros(n, 1, dtype=DOUBLE, requires_grad=True)
    field = BitLogits(lambda t, z, label: shift, path, low=-1.0)
    (gradient,) = torch.autograd.grad(objective(sample, field(t, sample.z_t)).per_row.sum(), shift)
    assert abs(float(gradient.mean())) < 5 * float(gradient.std()) / math.sqrt(n)


def test_bits_at_the_end_are_exact() -> None:
    """Oracle: only the two values occur, the nearer one, and the dtype stays."""
    objective = compose(LinearPath(), prediction="x1", divergence=("bce", {"low": -1.0}))
    done = objective.finish(torch.tensor([-1.2, -0.1, 0.2, 3.0]))
    assert done.tolist() == [-1.0, -1.0, 1.0, 1.0]
    assert compose(LinearPath()).finish(torch.tensor([0.3])).tolist() == [pytest.approx(0.3)]
    assert BinaryCrossEntropy().finish(torch.rand(3, dtype=DOUBLE)).dtype == DOUBLE


@given(st.floats(0, 1, width=32), st.floats(-3, 3, width=32), st.sampled_from([0, 1]))
@settings(max_examples=50, deadline=None)
def test_logits_and_losses_are_finite_at_every_time(t: float, z: float, bit: int) -> None:
    """Oracle: float32 at t = 0 and t = 1 themselves, loss and gradient included."""
    at, point = torch.tensor([t]), torch.tensor([[z]])
    for path in PATHS[:2]:
        extra = torch.zeros(1, 1, requires_grad=True)
        logit = BitLogits(lambda t, z, label, extra=extra: extra, path)(at, point)
        loss = BinaryCrossEntropy()(torch.tensor([[float(bit)]]), logit)
        loss.sum().backward()
        assert bool(torch.isfinite(loss).all())
        assert bool(torch.isfinite(extra.grad).all())


def test_values_of_a_bit_are_ordered() -> None:
    """Oracle: low < high."""
    with pytest.raises(InvalidInputError, match="low < high"):
        BinaryCrossEntropy(low=1.0, high=0.0)


def test_a_preconditioner_is_refused_on_binary_data() -> None:
    """Oracle: bits are bits no more in z; the reason is in the message."""
    bits = torch.randint(0, 2, (64, 4), generator=torch.Generator().manual_seed(0)).float()
    with pytest.raises(IncompatiblePartsError, match="bits no more"):
        pg.wrap(pg.models.MLP(4), prediction="x1", divergence="bce", preconditioner="whiten")
    for rows in (bits, 2 * bits - 1, [bits[:32], bits[32:]]):
        with pytest.raises(IncompatiblePartsError, match="or 1, and Whiten"):
            pg.wrap(pg.models.MLP(4), preconditioner="whiten").fit_preconditioner(rows)
    pg.wrap(pg.models.MLP(4), preconditioner="whiten").fit_preconditioner(bits + torch.rand(64, 4))
    pg.wrap(pg.models.MLP(4)).fit_preconditioner(bits)


@pytest.mark.parametrize("path", ["linear", "brownian-bridge"])
def test_exact_logits_sample_exact_bits(path: str) -> None:
    """Oracle: a zero network under the exact logit samples fair bits, and nothing but bits.

    Tolerance: 5 standard errors of 4,000 fair bits.
    """
    way = pg.paths.REGISTRY.create(path)
    net = BitLogits(torch.nn.Identity(), way, low=-1.0)
    net.field.forward = lambda t, z, label: torch.zeros_like(z)
    flow = pg.wrap(net, path=way, prediction="x1", divergence=("bce", {"low": -1.0}), event_shape=4)
    x = flow.sample(1000, steps=20, generator=torch.Generator().manual_seed(0)).x
    assert set(x.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(x.mean())) < 5 / math.sqrt(4000)
