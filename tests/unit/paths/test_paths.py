"""The linear path and the Brownian bridge against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from precond_gm.errors import IncompatiblePartsError, InvalidInputError
from precond_gm.paths import BrownianBridge, LinearPath
from precond_gm.values import Pairing, TargetKind


def pairing(rows: int = 5) -> Pairing:
    draw = torch.Generator().manual_seed(0)
    z0, z1 = (torch.randn(rows, 3, generator=draw, dtype=torch.float64) for _ in range(2))
    return Pairing(z0, z1, torch.arange(rows), torch.ones(rows, dtype=torch.float64))


def test_linear_target_is_the_difference() -> None:
    """Oracle: z1 - z0, exactly; label and weight are passed on."""
    pair = pairing()
    got = LinearPath().sample(pair, torch.linspace(0, 1, 5, dtype=torch.float64))
    assert torch.equal(got.target, pair.z1 - pair.z0)
    assert got.kind is TargetKind.VELOCITY
    assert got.label is pair.label
    assert got.weight is pair.weight


@pytest.mark.parametrize("sigma", [0.5, math.sqrt(2)])
def test_bridge_drift_points_at_the_end(sigma: float) -> None:
    """Oracle: (z1 - z_t)/(1 - t), the formula of the drift. Tolerance: float64, 1/(1-t) <= 1000."""
    pair = pairing()
    t = torch.tensor([0.0, 1e-6, 0.5, 0.9, 0.999], dtype=torch.float64)
    got = BrownianBridge(sigma).sample(pair, t, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(got.target, (pair.z1 - got.z_t) / (1 - t)[:, None])


def test_bridge_moments() -> None:
    """Oracle: mean and variance of the bridge; 6 standard errors of 40,000 draws."""
    n, t = 40_000, 0.3
    pair = Pairing(torch.full((n, 1), 2.0), torch.full((n, 1), -1.0))
    got = BrownianBridge(1.5).sample(
        pair, torch.full((n,), t), generator=torch.Generator().manual_seed(1)
    )
    variance = 1.5**2 * t * (1 - t)
    assert float(got.z_t.mean()) == pytest.approx(2 * 0.7 - 0.3, abs=6 * (variance / n) ** 0.5)
    assert float(got.z_t.var()) == pytest.approx(variance, rel=6 * (2 / n) ** 0.5)


def test_bridge_ends_are_exact_in_float32() -> None:
    """Oracle: variance 0 at both ends, drift_rate -1 at t = 0, exactly."""
    c = BrownianBridge().coefficients(torch.tensor([0.0, 1.0]))
    assert c.variance.tolist() == [0.0, 0.0]
    assert c.drift_rate is not None
    assert float(c.drift_rate[0]) == -1.0


def test_score_without_noise_is_that_of_a_normal_source() -> None:
    """Oracle: grad log N(z_t; t z1, (1-t)^2) = -(z_t - t z1) / (1-t)^2. Tolerance: rounding."""
    ends, t = pairing(), torch.full((5,), 0.75).double()
    sample = LinearPath().sample(ends, t, target=TargetKind.SCORE)
    exact = -(sample.z_t - 0.75 * ends.z1) / 0.25**2
    torch.testing.assert_close(sample.target, exact)


@pytest.mark.parametrize("kind", [TargetKind.DRIFT, TargetKind.NOISE])
def test_targets_without_noise_are_refused(kind: TargetKind) -> None:
    """Oracle: the error's text names the target, the path and the way out."""
    with pytest.raises(IncompatiblePartsError, match=rf"{kind.value} is not defined on LinearPath"):
        LinearPath().sample(pairing(), torch.full((5,), 0.5).double(), target=kind)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sigma": 0.0}, "sigma is a finite number above 0"),
        ({"sigma": math.nan}, "sigma"),
        ({"t_max": 1.5}, "t_max"),
    ],
)
def test_bad_options_are_refused(options: dict[str, float], text: str) -> None:
    """Oracle: the error's text."""
    with pytest.raises(InvalidInputError, match=text):
        BrownianBridge(**options)
