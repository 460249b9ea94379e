"""What is refused, what is warned of and what passes in silence when an objective is composed."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from precond_gm.errors import (
    IncompatiblePartsError,
    InvalidInputError,
    ObjectiveWarning,
    SingularCellWarning,
)
from precond_gm.objectives import compose
from precond_gm.objectives.time_laws import Adaptive, FixedTimeLaw
from precond_gm.paths import BrownianBridge, LinearPath


class Middle(FixedTimeLaw):
    """Uniform on [0.2, 0.8]: a law with holes."""

    def quantile(self, u):
        return 0.2 + 0.6 * u

    def cdf(self, t):
        return ((t - 0.2) / 0.6).clamp(0, 1)

    def log_density(self, t):
        inside = (t > 0.2) & (t < 0.8)
        return torch.where(inside, -math.log(0.6), -math.inf)


def test_a_hole_is_refused() -> None:
    """Oracle: theory.md section 4: zero on an interval breaks the guarantee."""
    with pytest.raises(IncompatiblePartsError, match="zero on an interval"):
        compose(LinearPath(), time_law=Middle())
    with pytest.raises(IncompatiblePartsError, match=r"zero on an interval within t = 0\.5"):
        compose(LinearPath(), weight=lambda t: (0.5 - t).clamp(min=0))


def test_a_weight_that_is_zero_at_one_time_passes() -> None:
    """Oracle: positive almost everywhere is enough; one time has measure zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compose(LinearPath(), weight=lambda t: (t - 0.4).abs())


@pytest.mark.parametrize(
    ("weight", "got"),
    [
        (lambda t: t - 0.5, "is -0.4"),
        (lambda t: torch.where(t > 0.9, math.inf, 1.0), "is inf"),
        (lambda t: torch.where(t > 0.9, math.nan, 1.0), "is nan"),
    ],
)
def test_negative_and_infinite_weights_are_refused(weight, got: str) -> None:
    """Oracle: the message names value and time."""
    with pytest.raises(InvalidInputError, match=got):
        compose(LinearPath(), weight=weight)


def test_vanishing_ends_are_warned_of_with_their_cost() -> None:
    """Oracle: P(Beta(2,2) < 0.01) = 3e-4 - 2e-6, 33.6 times less than 0.01."""
    with pytest.warns(ObjectiveWarning, match="t = 0 and t = 1.*33.6 and 33.6 times fewer"):
        compose(LinearPath(), time_law="beta")
    with pytest.warns(ObjectiveWarning, match="emphasis vanishes at t = 0"):
        compose(LinearPath(), prediction="x1", weight="min-snr")


def test_a_discrete_grid_is_warned_of() -> None:
    """Oracle: theory.md section 4."""
    with pytest.warns(ObjectiveWarning, match="finitely many times"):
        compose(LinearPath(), time_law="grid")


def test_huber_is_said_to_be_no_bregman_divergence() -> None:
    """Oracle: the issue: its minimiser is no longer the conditional mean."""
    with pytest.warns(ObjectiveWarning, match="no longer the conditional mean"):
        compose(LinearPath(), divergence="huber")


@pytest.mark.filterwarnings("ignore::precond_gm.errors.ObjectiveWarning")
def test_the_same_emphasis_twice_is_noticed() -> None:
    """Oracle: a weight that is the density of the law, and one that is the implied weight."""
    beta = ("beta", {"a": 2.0, "b": 1.0})
    with pytest.warns(ObjectiveWarning, match="acts twice"):
        compose(LinearPath(), time_law=beta, weight=lambda t: t)
    with pytest.warns(ObjectiveWarning, match="loss space velocity and the weight"):
        compose(
            LinearPath(),
            prediction="x1",
            loss_space="velocity",
            weight=("inverse-remaining", {"eps": 0.0}),
        )


ALIKE = {
    "a velocity loss and its softened weight": {
        "prediction": "x1",
        "loss_space": "velocity",
        "weight": "inverse-remaining",
    },
    "a velocity loss and snr": {"prediction": "x1", "loss_space": "velocity", "weight": "snr"},
    "two humps": {"time_law": "logit-normal", "weight": lambda t: t * (1 - t)},
    "two learners": {
        "time_law": ("adaptive", {"keep_objective": False}),
        "weight": "variance-equalising",
    },
    "a learner and a learned weight": {
        "time_law": ("adaptive", {"keep_objective": False}),
        "weight": "learned",
    },
}
DIFFERENT = {
    "ends and data": {"prediction": "x1", "weight": "inverse-remaining", "time_law": "u-shaped"},
    "edm as published": {"prediction": "x1", "weight": "edm", "time_law": "edm"},
    "jit as published": {
        "prediction": "x1",
        "loss_space": "velocity",
        "time_law": "jit",
        "clamp": 0.05,
    },
    "data, towards noise": {"prediction": "x1", "weight": "snr", "time_law": "shifted"},
    "a hump and data": {"prediction": "x1", "weight": "min-snr", "time_law": "logit-normal"},
    "a law for the variance alone": {"time_law": "adaptive", "weight": "variance-equalising"},
    "hardly any weight": {"time_law": "logit-normal", "weight": lambda t: 1 + 0.05 * t * (1 - t)},
    "a velocity loss cancelled": {
        "prediction": "x1",
        "loss_space": "velocity",
        "weight": lambda t: (1.05 - t) ** 2,
    },
}


def said_twice(settings: dict) -> list[str]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        compose(LinearPath(), **settings)
    texts = [str(w.message) for w in seen]
    return [text for text in texts if "acts twice" in text or "both follow the losses" in text]


@pytest.mark.parametrize("name", ALIKE)
def test_nearly_the_same_emphasis_twice_is_noticed(name: str) -> None:
    """Oracle: each of the pair alone emphasises the times that the other does, or learns as it."""
    assert len(said_twice(ALIKE[name])) == 1


@pytest.mark.parametrize("name", DIFFERENT)
def test_emphases_that_differ_are_not_said_to_be_twice(name: str) -> None:
    """Oracle: published pairs that are meant, opposite ones, and one that hardly is one."""
    assert said_twice(DIFFERENT[name]) == []


def test_an_observed_law_counts_with_its_importance() -> None:
    """Oracle: a law that keeps the objective has no emphasis; one that does not has its density."""
    t = torch.linspace(0.001, 0.999, 512)
    for keep, count in ((True, 0), (False, 1)):
        law = Adaptive(bins=16, floor=0.01, keep_objective=keep)
        law.observe(t, t, t)
        assert len(said_twice({"time_law": law, "weight": lambda t: t})) == count


def test_two_different_emphases_pass() -> None:
    """Oracle: a U-shaped law and 1/(1.05 - t)^2 have different shapes, and both stay positive."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compose(LinearPath(), prediction="x1", weight="inverse-remaining", time_law="u-shaped")


def test_a_weight_that_cancels_the_growth_makes_a_cell_regular() -> None:
    """Oracle: 1/(1-t)^2 times (1-t)^2 is 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compose(
            LinearPath(),
            prediction="x1",
            loss_space="velocity",
            weight=lambda t: (1 - t) ** 2,
            strict=True,
        )


def test_the_bridges_drift_is_aligned_and_diverges_unless_cut() -> None:
    """Oracle: theory.md section 3: logarithmic divergence, cured by t_max or by x1-prediction."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compose(BrownianBridge(), prediction="drift", strict=True)
        compose(BrownianBridge(t_max=1.0), prediction="x1", strict=True)

    def squared(t):  # z1-MSE in disguise
        return (1 - t) ** 2

    with pytest.warns(ObjectiveWarning, match="vanishes") as seen:
        compose(BrownianBridge(t_max=1.0), prediction="drift", weight=squared, strict=True)
    assert not any(issubclass(w.category, SingularCellWarning) for w in seen)
    with pytest.warns(SingularCellWarning, match="diverges all the same.*prediction='x1'"):
        compose(BrownianBridge(t_max=1.0), prediction="drift")
    with pytest.raises(IncompatiblePartsError, match="diverges"):
        compose(BrownianBridge(), prediction="velocity", strict=True)


def test_a_divergence_cannot_leave_its_domain() -> None:
    """Oracle: logits are not converted into velocities, and a velocity is no bit."""
    with pytest.raises(IncompatiblePartsError, match="judges"):
        compose(LinearPath(), prediction="x1", loss_space="velocity", divergence="bce")
    with pytest.raises(IncompatiblePartsError, match="which a velocity is not"):
        compose(LinearPath(), prediction="velocity", divergence="bce")


def test_values_are_checked_on_the_first_batch_only() -> None:
    """Oracle: a bad first batch is refused by position; later batches are not looked at."""
    from precond_gm.values import Pairing

    path = LinearPath()
    objective = compose(path, prediction="x1", divergence="bce")
    noise, bits, outside = torch.randn(4, 2), torch.ones(4, 2), -torch.ones(4, 2)
    t = torch.full((4,), 0.5)
    with pytest.raises(InvalidInputError, match="row 0"):
        objective(path.sample(Pairing(noise, outside), t, target=objective.loss_space), noise)
    objective(path.sample(Pairing(noise, bits), t, target=objective.loss_space), noise)
    objective(path.sample(Pairing(noise, outside), t, target=objective.loss_space), noise)


@pytest.mark.parametrize("weight", ["snr", "edm", ("inverse-remaining", {"eps": 0.0})])
def test_an_unbounded_weight_is_named_even_where_the_cell_is_aligned(weight) -> None:
    """Oracle: each grows like 1/(1-t)^2 at data, with x1-prediction and x1-loss."""
    with pytest.raises(IncompatiblePartsError, match=r"is unbounded in t\. Bound it"):
        compose(LinearPath(), prediction="x1", weight=weight, strict=True)
