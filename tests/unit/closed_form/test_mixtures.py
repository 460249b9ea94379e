"""Mixtures, bits and data sets: densities, special cases, labels, blocks, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from precond_gm.closed_form import (
    AbstractBridge,
    BinaryBridge,
    EmpiricalBridge,
    GaussianBridge,
    GaussianMixtureBridge,
    PointMassBridge,
)
from precond_gm.errors import InvalidInputError

F64 = torch.float64
TIMES = torch.linspace(0.02, 0.97, 20, dtype=F64)  # one per row


@pytest.fixture
def points() -> Tensor:
    return 1.5 * torch.randn(20, 3, dtype=F64, generator=torch.Generator().manual_seed(9))


def _covariance(dim: int, seed: int) -> Tensor:
    root = torch.randn(dim, dim, dtype=F64, generator=torch.Generator().manual_seed(seed))
    return root @ root.mT + 0.1 * torch.eye(dim, dtype=F64)


def _mixture(sigma: float) -> GaussianMixtureBridge:
    means = torch.tensor([[2.0, 0.0, 1.0], [-2.0, 1.0, 0.0], [0.0, -3.0, 0.5]])
    covariances = torch.stack([_covariance(3, k) for k in range(3)])
    return GaussianMixtureBridge([0.5, 0.2, 0.3], means, covariances, sigma=sigma)


def _data(rows: int = 7) -> Tensor:
    return torch.randn(rows, 3, dtype=F64, generator=torch.Generator().manual_seed(5))


def _components(kind: str) -> tuple[AbstractBridge, Callable[[float], MixtureSameFamily]]:
    if kind == "mixture":
        mixture = _mixture(1.2)

        def law(t: float) -> MixtureSameFamily:
            spread = ((1 - t) ** 2 + 1.44 * t * (1 - t)) * torch.eye(3, dtype=F64)
            parts = MultivariateNormal(t * mixture.means, t**2 * mixture.covariances + spread)
            return MixtureSameFamily(Categorical(mixture.weights), parts)

        return mixture, law
    data = (
        _data() if kind == "empirical" else torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    )
    bridge = EmpiricalBridge(data.double(), 1.2) if kind == "empirical" else BinaryBridge(1.2, 3)

    def discrete(t: float) -> MixtureSameFamily:
        spread = ((1 - t) ** 2 + 1.44 * t * (1 - t)) * torch.eye(3, dtype=F64)
        parts = MultivariateNormal(t * data.double(), spread)
        return MixtureSameFamily(Categorical(torch.ones(len(data)).double()), parts)

    return bridge, discrete


@pytest.mark.parametrize("kind", ["mixture", "empirical", "binary"])
def test_log_density_of_mixtures(kind: str, points: Tensor) -> None:
    """Oracle: torch.distributions' mixture of full Gaussians. Tolerance: rounding."""
    bridge, law = _components(kind)
    for t in (0.1, 0.5, 0.9):
        expected = law(t).log_prob(points)
        torch.testing.assert_close(bridge.log_density(t, points), expected, rtol=1e-9, atol=1e-9)


def test_binary_bridge_is_the_empirical_one_of_all_signs(points: Tensor) -> None:
    """Independent fair bits are the uniform law on the cube's corners. Oracle: the other class."""
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3).double()
    for sigma in (0.0, 1.0, math.sqrt(2)):
        binary, empirical = BinaryBridge(sigma, 3), EmpiricalBridge(corners, sigma)
        torch.testing.assert_close(binary.drift(TIMES, points), empirical.drift(TIMES, points))


def test_one_component_is_the_gaussian_bridge(points: Tensor) -> None:
    """A mixture of one is a Gaussian. Oracle: the other class. Tolerance: rounding."""
    covariance, mean = _covariance(3, 4), torch.tensor([1.0, 2.0, 3.0])
    for sigma in (0.0, 0.7):
        one = GaussianMixtureBridge([1.0], mean[None], covariance[None], sigma=sigma)
        gaussian = GaussianBridge(0.0, 1.0, mean, covariance, sigma=sigma)
        for name in ("drift", "velocity", "score", "backward_drift", "posterior_mean0"):
            a, b = getattr(one, name)(TIMES, points), getattr(gaussian, name)(TIMES, points)
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_identical_components_are_one(points: Tensor) -> None:
    """Splitting a component changes nothing. Oracle: the unsplit mixture."""
    covariance = _covariance(3, 4)
    split = GaussianMixtureBridge([0.3, 0.7], torch.zeros(2, 3), covariance.expand(2, 3, 3))
    whole = GaussianMixtureBridge([1.0], torch.zeros(1, 3), covariance[None])
    torch.testing.assert_close(split.drift(TIMES, points), whole.drift(TIMES, points))


def test_mixture_by_label(points: Tensor) -> None:
    """Given a label only its components count. Oracle: the mixture of these alone."""
    mixture = _mixture(1.0)
    labelled = GaussianMixtureBridge(
        mixture.weights, mixture.means, mixture.covariances, 1.0, component_label=[0, 1, 0]
    )
    torch.testing.assert_close(labelled.drift(TIMES, points), mixture.drift(TIMES, points))
    alone = GaussianMixtureBridge(
        mixture.weights[[0, 2]], mixture.means[[0, 2]], mixture.covariances[[0, 2]], 1.0
    )
    zeros = torch.zeros(20, dtype=torch.long)
    torch.testing.assert_close(labelled.drift(TIMES, points, zeros), alone.drift(TIMES, points))
    assert set(labelled.sample_pairs(50).label.tolist()) <= {0, 1}
    with pytest.raises(InvalidInputError, match="label is 7 at row 0; the components carry"):
        labelled.drift(TIMES, points, zeros + 7)


@pytest.mark.parametrize("kind", ["mixture", "empirical", "gaussian"])
def test_blocks_do_not_change_the_result(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and data are done in blocks. Oracle: one block. Tolerance: rounding of sums."""
    from precond_gm.closed_form import empirical, mixture
    from precond_gm.closed_form import gaussian_base as gaussian

    bridges = {"mixture": _mixture(1.0), "empirical": EmpiricalBridge(_data(50))}
    bridge = bridges.get(kind) or GaussianBridge(0.0, _covariance(3, 1), 1.0, _covariance(3, 2))
    z = torch.randn(33, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0, 0.9, 33, dtype=F64)
    whole, density = bridge.drift(t, z), bridge.log_density(t, z)
    monkeypatch.setattr(mixture, "_ENTRIES", {"cpu": 40, "cuda": 40})
    monkeypatch.setattr(empirical, "_ENTRIES", {"cpu": 20, "cuda": 20})
    monkeypatch.setattr(empirical, "_BLOCK", 5)
    monkeypatch.setattr(gaussian, "_ENTRIES_AT_ONCE", 20)
    torch.testing.assert_close(bridge.drift(t, z), whole)
    torch.testing.assert_close(bridge.log_density(t, z), density)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: GaussianMixtureBridge([1.0], [1.0], 1.0),
            r"shape \(components, dim\); got \(1,\)",
        ),
        (lambda: GaussianMixtureBridge([1.0, 0.0], [[0.0], [1.0]], 1.0), "2 positive numbers"),
        (lambda: GaussianMixtureBridge([1.0], [[0.0], [1.0]], 1.0), "weights is 2 positive"),
        (lambda: GaussianMixtureBridge([1.0, 1.0], [[0.0], [1.0]], [[1.0]]), "1 entries for 2"),
        (
            lambda: GaussianMixtureBridge([1.0, 1.0], [[0.0], [1.0]], [[1.0], [-1.0]]),
            r"covariances\[1\] is not positive definite",
        ),
        (
            lambda: GaussianMixtureBridge([1.0], [[0.0]], 1.0, component_label=[0, 1]),
            "one label per component",
        ),
        (lambda: EmpiricalBridge(torch.tensor([[1.0], [float("inf")]])), "holds inf at row 1"),
        (lambda: EmpiricalBridge(torch.zeros(0, 2)), "at least one row"),
        (lambda: BinaryBridge(dim=0), "at least one coordinate"),
        (lambda: PointMassBridge([0.0, float("nan")]), "NaN or infinity"),
        (lambda: BinaryBridge(sigma=-1.0), "sigma is -1.0"),
    ],
)
def test_bad_parameters(make: Callable[[], AbstractBridge], text: str) -> None:
    """Oracle: the error's text."""
    with pytest.raises(InvalidInputError, match=text):
        make()


def test_empirical_bridge_memorises() -> None:
    """Near t = 1 the posterior mean is the nearest row, and exactly that row at t = 1."""
    bridge = EmpiricalBridge(_data(), sigma=1.0)
    z = bridge.data[2:3] + 0.01
    torch.testing.assert_close(bridge.posterior_mean(1.0, z), bridge.data[2:3])
    torch.testing.assert_close(bridge.posterior_mean(0.0, z)[0], bridge.data.mean(0))
