"""Weights: published formulas, learned and estimated ones."""

from __future__ import annotations

import math

import pytest
import torch

from precond_gm.errors import InvalidInputError
from precond_gm.objectives import compose
from precond_gm.objectives.weights import (
    EDM,
    SNR,
    Constant,
    InverseRemaining,
    Learned,
    MinSNR,
    UserWeight,
    VarianceEqualising,
)
from precond_gm.paths import BrownianBridge, LinearPath
from precond_gm.values import Pairing

T = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
C = LinearPath().coefficients(T)


def test_published_formulas_on_the_linear_path() -> None:
    """Oracle: with s = (1-t)/t, SNR = 1/s^2; EDM (s^2 + d^2)/(s d)^2; the clamp of 2511.13720."""
    s = (1 - T) / T
    torch.testing.assert_close(SNR()(T, C), s**-2)
    torch.testing.assert_close(MinSNR(5.0)(T, C), torch.minimum(s**-2, 0 * s + 5))
    torch.testing.assert_close(EDM(0.5)(T, C), (s**2 + 0.25) / (s * 0.5) ** 2)
    torch.testing.assert_close(InverseRemaining()(T, C), 1 / (1 - T + 0.05) ** 2)
    clamped = InverseRemaining(eps=0.0, clamp=0.05)
    torch.testing.assert_close(clamped(T, C), 1 / (1 - T).clamp(min=0.05) ** 2)


def test_snr_on_the_bridge_counts_the_bridges_noise() -> None:
    """Oracle: t^2 / (1 - t^2), the ratio of the DFM bridge."""
    torch.testing.assert_close(SNR()(T, BrownianBridge().coefficients(T)), T**2 / (1 - T**2))


def test_inverse_remaining_on_an_x1_loss_is_the_velocity_loss() -> None:
    """Oracle: the velocity loss itself, theory.md section 5. Tolerance: rounding."""
    g = torch.Generator().manual_seed(0)
    z0, z1, guess = torch.randn(3, 19, 4, generator=g, dtype=torch.float64)
    path, pair = LinearPath(), Pairing(z0, z1)
    with pytest.warns(UserWarning, match="Bound it"):
        own = compose(path, prediction="x1", weight=("inverse-remaining", {"eps": 0.0}))
    with pytest.warns(UserWarning, match="unbounded"):
        velocity = compose(path, prediction="x1", loss_space="velocity")
    a = own(path.sample(pair, T, target=own.loss_space), guess)
    b = velocity(path.sample(pair, T, target=velocity.loss_space), guess)
    torch.testing.assert_close(a.total, b.total)


def test_learned_weight_finds_the_inverse_of_the_loss() -> None:
    """Oracle: exp(-u) D + u is least at u = log D. Tolerance: 10 % after 500 Adam steps."""
    weight = Learned(frequencies=8)
    optimiser = torch.optim.Adam(weight.parameters(), lr=0.05)
    t = torch.linspace(0, 1, 200)
    loss = torch.exp(2 * torch.cos(math.pi * t) + 1)
    for _ in range(500):
        optimiser.zero_grad()
        (weight(t, C) * loss + weight.penalty(t)).mean().backward()
        optimiser.step()
    torch.testing.assert_close(weight(t, C).detach(), 1 / loss, rtol=0.1, atol=0)


def test_learned_weight_is_trained_and_saved_with_the_objective() -> None:
    """Oracle: its parameters are the objective's, and the penalty enters the total."""
    objective = compose(LinearPath(), weight="learned")
    assert [p.shape for p in objective.parameters()] == [(16,)]
    assert list(objective.state_dict()) == ["weight.coefficients"]
    g = torch.Generator().manual_seed(0)
    z0, z1 = torch.randn(2, 8, 3, generator=g)
    with torch.no_grad():
        objective.weight.coefficients[0] = 1.0  # u = 1 at all times
    terms = objective(LinearPath().sample(Pairing(z0, z1), torch.rand(8, generator=g)), z0)
    torch.testing.assert_close(terms.total, (terms.per_row * math.exp(-1) + 1).mean())


def test_variance_equalising_makes_all_times_equally_noisy() -> None:
    """Oracle: the weighted deviation per bin is constant. Tolerance: 5 % at 3,000 rows per bin."""
    objective = compose(LinearPath(), weight=("variance-equalising", {"bins": 4}))
    g = torch.Generator().manual_seed(0)
    t = torch.rand(12_000, generator=g)
    z0, z1 = torch.randn(2, 12_000, 1, generator=g)
    sample = LinearPath().sample(Pairing(z0, z1), t)
    guess = sample.target + (1 + 3 * t[:, None]) * torch.randn(12_000, 1, generator=g)
    objective(sample, guess)
    terms = objective(sample, guess)
    loss = terms.weight * terms.per_row
    spread = torch.stack([loss[(t * 4).long() == k].std() for k in range(4)])
    assert float(spread.max() / spread.min()) < 1.05
    assert float(terms.weight.mean()) == pytest.approx(1, abs=0.05)


def test_nothing_is_learned_in_evaluation_mode() -> None:
    """Oracle: the state dict does not change."""
    objective = compose(LinearPath(), weight="variance-equalising").eval()
    z0, z1 = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(0))
    objective(LinearPath().sample(Pairing(z0, z1), torch.rand(8)), z0)
    assert float(objective.weight.statistics.moments.abs().sum()) == 0


def test_options_survive_as_constructor_arguments() -> None:
    """Oracle: the registry's description makes the same part again."""
    assert Learned(frequencies=3).options == {"frequencies": 3}
    weight = VarianceEqualising(bins=8, decay=0.9, floor=0.1)
    assert VarianceEqualising(**weight.options).options == weight.options


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(0.0),
        lambda: InverseRemaining(power=-1.0),
        lambda: MinSNR(0.0),
        lambda: EDM(0.0),
        lambda: Learned(0),
        lambda: VarianceEqualising(decay=1.0),
        lambda: VarianceEqualising(floor=-1.0),
        lambda: VarianceEqualising(floor=0.0),
        lambda: Constant(math.inf),
        lambda: InverseRemaining(power=math.nan),
        lambda: SNR(math.inf),
        lambda: MinSNR(math.nan),
        lambda: UserWeight(lambda t: t[:, None])(T, C),
        lambda: UserWeight(lambda t: 1.0)(T, C),
    ],
)
def test_options_out_of_range_are_refused(make) -> None:
    """Oracle: the documented ranges and shapes."""
    with pytest.raises(InvalidInputError):
        make()
