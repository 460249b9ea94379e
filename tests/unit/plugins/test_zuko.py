"""zuko's flows as preconditioners."""

from __future__ import annotations

import pytest
import torch
import zuko
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.preconditioners import REGISTRY, Whiten
from precond_gm.testing.preconditioner import check_preconditioner
from precond_gm_zuko.tails import tailed
from precond_gm_zuko.univariate import Gaussianization


def banana(rows: int = 2400) -> tuple[Tensor, Tensor]:
    """Two bent laws: whitening cannot make them normal, a flow can."""
    draw = torch.Generator().manual_seed(0)
    u = torch.randn(rows, 2, generator=draw)
    label = torch.arange(rows) % 2
    sign = 2.0 * label - 1
    return torch.stack([u[:, 0], 0.3 * u[:, 1] + sign * u[:, 0].square()], 1), label


@pytest.mark.parametrize("name", ["zuko.realnvp", "zuko.nsf"])
def test_better_than_whitening_on_a_bent_law(name: str) -> None:
    """Oracle: the exact entropy bound: no map exceeds the true log-density, whitening stays below.

    True mean log-density: -(1 + log 2 pi) - log 0.3 = -1.634; margin for 240 held-out rows: 0.3.
    """
    x, label = banana()
    flow = REGISTRY.create(name, max_steps=200, learning_rate=5e-3, hidden=(32, 32))
    report = flow.fit(x, label, generator=torch.Generator().manual_seed(0))
    plain = Whiten().fit(x, label)
    assert plain.log_likelihood + 0.3 < report.log_likelihood < -1.634 + 0.3
    assert report.condition_after < 3
    assert report.round_trip_error < 1e-4


def test_labels_are_used_and_needed() -> None:
    """Oracle: the two bananas bend in opposite directions, so a wrong label is less likely."""
    x, label = banana(1000)
    flow = REGISTRY.create("zuko.realnvp", max_steps=60)
    flow.fit(x, label)
    right, wrong = flow(x, label), flow(x, 1 - label)
    likelihood = [
        (-0.5 * image.value.square().sum(1) + image.log_abs_det).mean() for image in (right, wrong)
    ]
    assert likelihood[0] > likelihood[1]


def test_rows_beyond_the_box_are_counted_and_carried() -> None:
    """A spline is the identity beyond 5 deviations. Oracle: the identity for the round trip."""
    x, _ = banana(1000)
    x[::20] *= 40
    flow = REGISTRY.create("zuko.nsf", max_steps=5)
    report = flow.fit(x)
    assert any("beyond the box of 5 deviations" in note for note in report.notes)
    back = flow.inverse(flow(x).value).value
    torch.testing.assert_close(back, x, rtol=1e-4, atol=1e-3)


def test_autocast_does_not_reach_the_flow() -> None:
    """Oracle: the map without autocast, bit for bit."""
    x, label = banana(300)
    flow = REGISTRY.create("zuko.realnvp", max_steps=5)
    flow.fit(x, label)
    expected = flow(x, label).value
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(flow(x, label).value, expected)
        assert flow.inverse(expected, label).value.dtype == torch.float32


def test_one_feature() -> None:
    """Coupling needs two features; with one the layers act on their own. Oracle: the identity."""
    x = torch.randn(300, 1, generator=torch.Generator().manual_seed(0)).exp()
    for name in ("zuko.realnvp", "zuko.nsf"):
        flow = REGISTRY.create(name, max_steps=5)
        flow.fit(x)
        torch.testing.assert_close(flow.inverse(flow(x).value).value, x, rtol=1e-4, atol=1e-4)


NUMERICAL = ["bpf", "gf", "naf", "sospf", "unaf"]


@pytest.mark.parametrize("name", NUMERICAL)
def test_rows_far_out_come_back(name: str) -> None:
    """Zuko's own layers lose rows beyond 6 deviations; with tails they are bijections of the line.

    Oracle: the identity; float64, where Newton's method reaches the last digits: 1e-9.
    """
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=draw, dtype=torch.float64)
    flow = REGISTRY.create(f"zuko.{name}", max_steps=20, hidden=(16,))
    flow.fit(x)
    rows = torch.tensor([[6.0, 0], [0, -6], [12, 1], [-1, 12], [-30, 30], [40, 40], [0, 0]])
    rows = rows.double()
    image = flow(rows)
    back = flow.inverse(image.value)
    torch.testing.assert_close(back.value, rows, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(back.log_abs_det, -image.log_abs_det, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NUMERICAL)
def test_tailed_slope_and_gradient_of_the_inverse(name: str) -> None:
    """Oracles: autograd's Jacobian of the map, and its matrix inverse; in the box and beyond."""
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(300, 2, generator=draw, dtype=torch.float64)
    flow = REGISTRY.create(f"zuko.{name}", max_steps=3, hidden=(8,))
    flow.fit(x)
    for row in (x[0], x[1] * 20):
        jacobian = torch.autograd.functional.jacobian(lambda v: flow(v[None]).value[0], row)
        image = flow(row[None])
        log_det = torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(image.log_abs_det[0], log_det, rtol=1e-5, atol=1e-5)
        undone = torch.autograd.functional.jacobian(
            lambda v: flow.inverse(v[None]).value[0], image.value[0].detach()
        )
        eye = torch.eye(2, dtype=torch.float64)
        torch.testing.assert_close(undone @ jacobian, eye, rtol=1e-4, atol=1e-4)


def test_slow_inverse_is_refused_unless_asked_for() -> None:
    """Oracle: the message names the cost and the two ways out."""
    x = torch.randn(100, 65, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InvalidInputError, match=r"65 x 3 times.*autoregressive=False"):
        REGISTRY.create("zuko.maf", autoregressive=True).fit(x)
    REGISTRY.create("zuko.maf").build((65,), None)
    REGISTRY.create("zuko.nsf").build((65,), None)
    slow = REGISTRY.create("zuko.nsf", autoregressive=True, allow_slow=True, bins=2, hidden=(4,))
    slow.build((65,), None)


@pytest.mark.parametrize("name", ["nice", "realnvp", "maf", "nsf", "bpf", "sospf", "unaf", "cnf"])
def test_starts_from_its_scaling(name: str) -> None:
    """Oracle: the scaling alone, since layers start at the identity (slope 1.001 for SOSPF)."""
    x, label = banana(300)
    flow = REGISTRY.create(f"zuko.{name}", max_steps=0)
    flow.fit(x, label)
    expected = flow.scaling_map(x, label).value
    torch.testing.assert_close(flow(x, label).value, expected, rtol=1e-2, atol=1e-2)


def test_a_continuous_flow_of_many_features_is_refused_unless_asked_for() -> None:
    """Oracle: the message names the cost, where it was measured, and the ways out."""
    with pytest.raises(InvalidInputError, match=r"784 gradients.*over 300 s.*allow_slow=True"):
        REGISTRY.create("zuko.cnf").build((1, 28, 28), None)
    REGISTRY.create("zuko.cnf", allow_slow=True).build((784,), None)
    REGISTRY.create("zuko.cnf").build((64,), None)


def test_gaussianisation_keeps_its_digits_in_the_tails() -> None:
    """Zuko's own loses five digits at 5 deviations in float32. Oracles: zuko's own in float64 where
    it has digits, within 3 deviations (it shrinks by 1e-6); the round trip in float32, 1e-5.
    """
    draw = torch.Generator().manual_seed(0)
    shift, scale = (torch.randn(1, 8, generator=draw, dtype=torch.float64) / 2 for _ in "ab")
    x = torch.linspace(-2, 2, 101, dtype=torch.float64)
    own = zuko.transforms.GaussianizationTransform(shift, scale)
    bounded = scale / (1 - (scale / 3).abs())  # its bound undone
    torch.testing.assert_close(Gaussianization(shift, bounded)(x), own(x), rtol=1e-3, atol=1e-3)
    wide = torch.linspace(-8, 8, 401)
    ours = tailed(Gaussianization)(shift.float(), scale.float())
    torch.testing.assert_close(ours.inv(ours(wide)), wide, rtol=1e-5, atol=1e-4)


BENT = ["zuko.realnvp", "zuko.maf", "zuko.sospf", "zuko.gf"]


@pytest.mark.parametrize("steep", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("name", BENT)
def test_far_rows_come_back_whatever_the_weights(name: str, steep: float) -> None:
    """Float32, weights as a long fit may leave them, rows 40 deviations out.

    Oracle: the identity. Tolerance: 100 times the map's own, as in the contract.
    """
    x, label = banana(400)
    flow = REGISTRY.create(name, max_steps=0)
    flow.fit(x, label)
    draw = torch.Generator().manual_seed(1)
    for module in flow.network.modules():
        if isinstance(module, torch.nn.Sequential) and hasattr(module[-1], "weight"):
            for values in (module[-1].bias, module[-1].weight):
                values.add_(steep * torch.randn(values.shape, generator=draw))
    far = x.mean(0) + 40 * (x - x.mean(0))
    back = flow.inverse(flow(far, label).value, label).value
    assert float((back - far).abs().max() / far.abs().max()) < 100 * flow.tolerance


@pytest.mark.slow
@pytest.mark.parametrize("name", [*BENT, "zuko.naf", "zuko.bpf", "normflows.realnvp"])
def test_contract_after_a_long_fit(name: str) -> None:
    """Every other contract fit is a few steps from the identity. Oracles: those of the check."""
    check_preconditioner(name, max_steps=300)


@pytest.mark.slow
def test_contract_of_an_autoregressive_map_after_a_long_fit() -> None:
    """Float32 errors of a feature pass on to all behind it. Oracles: those of the check."""
    check_preconditioner(REGISTRY.create("zuko.maf", autoregressive=True), max_steps=300)
