"""The composed objective: aligned and converted losses, weights of pairs, refusals."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

from precond_gm.errors import (
    IncompatiblePartsError,
    InvalidInputError,
    SingularCellWarning,
    UnknownNameError,
)
from precond_gm.objectives import Objective, compose
from precond_gm.paths import BrownianBridge, LinearPath
from precond_gm.values import Pairing, TargetKind

KINDS = (TargetKind.VELOCITY, TargetKind.X1, TargetKind.X0)


def drawn(path: LinearPath | BrownianBridge, objective: Objective, weight: bool = False):
    g = torch.Generator().manual_seed(1)
    z0, z1 = torch.randn(2, 8, 3, 2, generator=g, dtype=torch.float64)
    w = torch.rand(8, generator=g, dtype=torch.float64) if weight else None
    t = objective.draw_times(8, dtype=torch.float64, generator=g)
    return path.sample(Pairing(z0, z1, weight=w), t, target=objective.loss_space, generator=g)


def quietly(path: LinearPath | BrownianBridge, **settings: object) -> Objective:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularCellWarning)
        return compose(path, **settings)  # type: ignore[arg-type]


def test_aligned_loss_is_the_plain_squared_error() -> None:
    """Oracle: the sum written out. Tolerance: rounding of one reduction."""
    objective = compose(LinearPath())
    sample = drawn(LinearPath(), objective)
    guess = torch.zeros_like(sample.target).requires_grad_()
    terms = objective(sample, guess)
    torch.testing.assert_close(terms.total, sample.target.square().sum((1, 2)).mean())
    assert terms.per_row.shape == terms.weight.shape == (8,)
    assert bool((terms.weight == 1).all())


def test_pair_weights_multiply() -> None:
    """Oracle: the weighted mean written out. Tolerance: rounding."""
    objective = compose(BrownianBridge())
    sample = drawn(BrownianBridge(), objective, weight=True)
    terms = objective(sample, torch.zeros_like(sample.target))
    torch.testing.assert_close(
        terms.total, (sample.weight * sample.target.square().sum((1, 2))).mean()
    )


@pytest.mark.parametrize("have", KINDS)
@pytest.mark.parametrize("want", KINDS)
def test_the_exact_target_has_zero_loss_in_every_space(have: TargetKind, want: TargetKind) -> None:
    """Oracle: on the linear path a pair's prediction converts exactly. Tolerance: rounding."""
    path = LinearPath()
    objective = quietly(path, prediction=have, loss_space=want)
    g = torch.Generator().manual_seed(0)
    z0, z1 = torch.randn(2, 16, 4, generator=g, dtype=torch.float64)
    t = torch.rand(16, generator=g, dtype=torch.float64) * 0.9 + 0.05
    pair = Pairing(z0, z1)
    truth = path.sample(pair, t, target=have).target
    terms = objective(path.sample(pair, t, target=want), truth)
    assert float(terms.total) < 1e-20


def test_default_prediction_is_the_paths_own_and_aligned() -> None:
    """Oracle: the defaults of the design: velocity on the line, x1 on the bridge."""
    assert compose(LinearPath()).prediction is TargetKind.VELOCITY
    bridge = compose(BrownianBridge())
    assert bridge.prediction is bridge.loss_space is TargetKind.X1


def test_a_singular_cell_is_warned_of_and_refused_when_strict() -> None:
    """Oracle: 1/(1-t)^2, theory.md section 5."""
    with pytest.warns(SingularCellWarning, match=r"1/\(1-t\)\^2.*aligned alternative"):
        compose(LinearPath(), prediction="x1", loss_space="velocity")
    with pytest.raises(IncompatiblePartsError, match="unbounded"):
        compose(LinearPath(), prediction="x1", loss_space="velocity", strict=True)


def test_a_bounded_cell_is_not_warned_of() -> None:
    """Oracle: (1-t)^2 is at most 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compose(LinearPath(), prediction="velocity", loss_space="x1", strict=True)


def test_what_the_path_lacks_is_refused() -> None:
    """Oracle: a drift needs diffusion; x0 and z_t alone do not give the drift of the bridge."""
    with pytest.raises(IncompatiblePartsError, match="drift is not defined"):
        compose(LinearPath(), prediction="drift")
    with pytest.raises(IncompatiblePartsError, match="does not follow"):
        compose(BrownianBridge(), prediction="x0", loss_space="drift")
    with pytest.raises(UnknownNameError, match="Did you mean 'velocity'"):
        compose(LinearPath(), prediction="velocty")


def test_wrong_target_and_wrong_shape_are_refused() -> None:
    """Oracle: the message names what was asked and what was got."""
    objective = compose(LinearPath(), prediction="x1")
    sample = drawn(LinearPath(), compose(LinearPath()))
    with pytest.raises(IncompatiblePartsError, match="target velocity"):
        objective(sample, sample.target)
    with pytest.raises(InvalidInputError, match=r"\(8, 3\)"):
        compose(LinearPath())(sample, sample.target[..., 0])


def test_objective_copies_and_has_no_state_by_default() -> None:
    """Oracle: a stateless objective adds nothing to a flow's state dict."""
    objective = compose(LinearPath())
    assert not objective.state_dict()
    assert copy.deepcopy(objective).prediction is objective.prediction
