"""The implied weight of every cell, by numbers and by autograd (theory.md, section 5)."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from precond_gm.errors import IncompatiblePartsError, SingularCellWarning
from precond_gm.models import MLP
from precond_gm.objectives import Objective, compose, implied_weight
from precond_gm.paths import BrownianBridge, LinearPath, Trigonometric
from precond_gm.values import Pairing, TargetKind

V, B, X1, X0 = TargetKind.VELOCITY, TargetKind.DRIFT, TargetKind.X1, TargetKind.X0
NOISE, SCORE = TargetKind.NOISE, TargetKind.SCORE

LINEAR = {  # theory.md, section 5, the whole table
    (X1, X1): lambda t: t**0,
    (X1, V): lambda t: 1 / (1 - t) ** 2,
    (X1, X0): lambda t: (t / (1 - t)) ** 2,
    (V, X1): lambda t: (1 - t) ** 2,
    (V, V): lambda t: t**0,
    (V, X0): lambda t: t**2,
    (X0, X1): lambda t: ((1 - t) / t) ** 2,
    (X0, V): lambda t: 1 / t**2,
    (X0, X0): lambda t: t**0,
}
BRIDGE = {(X1, B): lambda t: 1 / (1 - t) ** 2, (B, X1): lambda t: (1 - t) ** 2}
FORMULAS = {
    (X1, X1): "1",
    (X1, V): "1/(1-t)^2",
    (X1, X0): "t^2/(1-t)^2",
    (V, X1): "(1-t)^2",
    (V, V): "1",
    (V, X0): "t^2",
    (X0, X1): "(1-t)^2/t^2",
    (X0, V): "1/t^2",
    (X0, X0): "1",
}
TIMES = torch.linspace(0.02, 0.98, 25, dtype=torch.float64)


def quietly(path: LinearPath | BrownianBridge, have: TargetKind, want: TargetKind) -> Objective:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularCellWarning)
        return compose(path, prediction=have, loss_space=want)


def curvature(path: LinearPath | BrownianBridge, have: TargetKind, want: TargetKind) -> Tensor:
    """Second derivative of the loss of each row in the network's own output, by autograd."""
    objective = quietly(path, have, want)
    g = torch.Generator().manual_seed(3)
    z0, z1, guess = torch.randn(3, len(TIMES), 1, generator=g, dtype=torch.float64)
    sample = path.sample(Pairing(z0, z1), TIMES, target=want, generator=g)

    def total(output: Tensor) -> Tensor:
        return objective(sample, output).per_row.sum()

    hessian = torch.autograd.functional.hessian(total, guess)
    return hessian.reshape(len(TIMES), len(TIMES)).diagonal()


@pytest.mark.parametrize("cell", LINEAR, ids=lambda c: f"{c[0].value}-{c[1].value}")
def test_linear_table_by_numbers(cell: tuple[TargetKind, TargetKind]) -> None:
    """Oracle: the table of theory.md, section 5. Tolerance: rounding of a 2 x 2 solve."""
    implied = implied_weight(LinearPath(), *cell)
    torch.testing.assert_close(implied(TIMES), LINEAR[cell](TIMES), rtol=1e-12, atol=1e-12)
    assert implied.formula == FORMULAS[cell]


@pytest.mark.parametrize("cell", LINEAR, ids=lambda c: f"{c[0].value}-{c[1].value}")
def test_linear_table_by_autograd(cell: tuple[TargetKind, TargetKind]) -> None:
    """Oracle: the Hessian of the loss is twice the weight. Tolerance: rounding."""
    torch.testing.assert_close(
        curvature(LinearPath(), *cell), 2 * LINEAR[cell](TIMES), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("sigma", [0.5, math.sqrt(2), 2.0])
@pytest.mark.parametrize("cell", BRIDGE, ids=lambda c: f"{c[0].value}-{c[1].value}")
def test_bridge_cells(cell: tuple[TargetKind, TargetKind], sigma: float) -> None:
    """Oracles: theory.md, section 5, and the Hessian; sigma does not matter here."""
    path = BrownianBridge(sigma=sigma)
    torch.testing.assert_close(
        implied_weight(path, *cell)(TIMES), BRIDGE[cell](TIMES), rtol=1e-11, atol=1e-12
    )
    torch.testing.assert_close(
        curvature(path, *cell), 2 * BRIDGE[cell](TIMES), rtol=1e-10, atol=1e-10
    )


def test_x0_and_z_alone_do_not_give_the_drift() -> None:
    """Oracle: two posterior means are unknown on the bridge (theory.md, section 5)."""
    with pytest.raises(IncompatiblePartsError, match="does not follow"):
        implied_weight(BrownianBridge(), X0, B)
    assert implied_weight(BrownianBridge(), X0, B, gaussian_source=True).supremum == math.inf


@pytest.mark.parametrize("have", [V, B, X1, X0, NOISE, SCORE])
@pytest.mark.parametrize("want", [V, B, X1, X0, NOISE, SCORE])
@pytest.mark.parametrize("sigma", [math.sqrt(2), 1.3])
def test_every_bridge_cell_has_a_formula_that_evaluates_to_it(
    have: TargetKind, want: TargetKind, sigma: float
) -> None:
    """Oracle: the printed text, read as arithmetic. Tolerance: its four printed digits."""
    implied = implied_weight(BrownianBridge(sigma=sigma), have, want, gaussian_source=True)
    text = implied.formula.replace("^", "**").replace(" ", "*").replace("t)", "*t)")
    for sign in "+-":
        text = text.replace(f"{sign}*t", f"{sign}t")
    assert "~" not in text
    value = eval(text, {"t": TIMES})
    torch.testing.assert_close(implied(TIMES), value * TIMES**0, rtol=5e-3, atol=1e-9)


def test_supremum_and_integrability() -> None:
    """Oracle: integrals of powers. (1-t)^2 is bounded by 1; t(1-t)/... of noise-score by 1/2."""
    path = LinearPath()
    assert implied_weight(path, V, X1).supremum == 1
    assert implied_weight(path, X1, V).supremum == math.inf
    assert not implied_weight(path, X1, V).ends.is_integrable
    assert implied_weight(path, V, X1).ends.is_integrable
    assert implied_weight(BrownianBridge(), SCORE, NOISE).supremum == pytest.approx(0.5)
    singular = implied_weight(BrownianBridge(), X1, NOISE, gaussian_source=True).ends
    assert (singular.at_zero, singular.at_one) == (3, -1)


def test_clamp_bounds_the_weight() -> None:
    """Oracle: 1/0.05^2 = 400, the clamp of 2511.13720."""
    clamped = implied_weight(LinearPath(), X1, V, clamp=0.05)
    assert clamped.supremum == pytest.approx(400)
    t = torch.tensor([0.5, 0.97], dtype=torch.float64)
    torch.testing.assert_close(clamped(t), torch.tensor([4.0, 400.0], dtype=torch.float64))


def test_a_path_that_is_no_power_of_t() -> None:
    """Oracle: velocity = (pi/2) (z1 - sin z_t)/cos, so the weight is (pi/2)^2 / cos^2(pi t/2)."""
    implied = implied_weight(Trigonometric(), X1, V)
    exact = (math.pi / 2) ** 2 / torch.cos(math.pi * TIMES / 2) ** 2
    torch.testing.assert_close(implied(TIMES), exact, rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    ("have", "want", "slope"), [(X1, V, -2), (X1, X0, -2), (X1, X1, 0), (V, V, 0), (V, X1, 2)]
)
def test_gradient_norm_next_to_data_grows_with_the_predicted_power(
    have: TargetKind, want: TargetKind, slope: float
) -> None:
    """The gradient of an untrained network scales like the implied weight, bounded if aligned.

    Oracle: d/dtheta w ||f - f*||^2 = 2 w (f - f*) J with f - f* and J bounded. Tolerance: 0.15 for
    what f - f* still changes between 1 - t = 1e-2 and 1e-4.
    """
    torch.manual_seed(0)
    net = MLP(2, width=16, depth=1).double()
    objective = quietly(LinearPath(), have, want)
    z0, z1 = torch.randn(2, 512, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logs = []
    for remaining in (1e-2, 1e-4):
        t = torch.full((512,), 1 - remaining, dtype=torch.float64)
        sample = LinearPath().sample(Pairing(z0, z1), t, target=want)
        net.zero_grad()
        objective(sample, net(t, sample.z_t)).total.backward()
        norm = torch.stack([p.grad.square().sum() for p in net.parameters()]).sum().sqrt()
        logs.append(math.log10(norm))
    assert (logs[0] - logs[1]) / 2 == pytest.approx(slope, abs=0.15)


@given(
    st.sampled_from(list(LINEAR)),
    st.one_of(
        st.floats(2**-24, 2**-10, width=32),
        st.floats(2**-24, 2**-10, width=32).map(lambda e: 1 - e),
    ),
)
@settings(max_examples=50, deadline=None)
def test_every_cell_is_finite_in_float32_next_to_the_ends(
    cell: tuple[TargetKind, TargetKind], at: float
) -> None:
    """Oracle: the loss at times that a law can draw is a finite float32, gradient included."""
    path, t = LinearPath(), torch.tensor([at]).clamp(2**-23, 1 - 2**-23)
    objective = quietly(path, *cell)
    pair = Pairing(torch.tensor([[0.3, -1.0]]), torch.tensor([[1.0, 0.5]]))
    output = torch.tensor([[0.2, 0.1]], requires_grad=True)
    total = objective(path.sample(pair, t, target=cell[1]), output).total
    total.backward()
    assert bool(torch.isfinite(total))
    assert bool(torch.isfinite(output.grad).all())
