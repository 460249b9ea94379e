"""Divergences and weights of the user's own."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from precond_gm.errors import (
    InvalidInputError,
    InvalidTypeError,
    ObjectiveWarning,
)
from precond_gm.objectives import compose
from precond_gm.objectives.divergences import (
    Squared,
    UserDivergence,
)
from precond_gm.objectives.weights import Constant
from precond_gm.paths import LinearPath
from precond_gm.values import Pairing

DOUBLE = torch.float64


class Absolute(torch.nn.Module):
    """A loss of the user's own, with a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, target: Tensor, prediction: Tensor) -> Tensor:
        return (self.scale * (target - prediction).abs()).flatten(1).sum(1)


class Called:
    """An object with ``__call__``."""

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        return 2 * (target - prediction).abs().flatten(1).sum(1)


def scaled(scale: float, target: Tensor, prediction: Tensor) -> Tensor:
    return scale * (target - prediction).abs().flatten(1).sum(1)


NUMBERS = ("first", "second", "third")  # not their addresses, which differ by process


@pytest.mark.parametrize("own", [Absolute(), Called(), functools.partial(scaled, 2.0)], ids=NUMBERS)
def test_any_callable_is_taken_as_a_divergence_and_marked(own: Callable[..., Tensor]) -> None:
    """Oracle: the sum written out; a module is part of the objective, so it moves with it."""
    with pytest.warns(ObjectiveWarning, match="not a Bregman divergence"):
        objective = compose(LinearPath(), divergence=own)
    z0, z1 = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(0))
    sample = LinearPath().sample(Pairing(z0, z1), torch.linspace(0.1, 0.9, 8))
    got = objective(sample, torch.zeros_like(z0)).per_row
    torch.testing.assert_close(got, 2 * sample.target.abs().sum(1))
    names = [name for name, _ in objective.named_buffers()]
    assert names == (["divergence.function.scale"] if isinstance(own, Absolute) else [])


def test_a_loss_that_can_train_itself_is_warned_of() -> None:
    """Oracle: its parameters are among the objective's until they are frozen."""
    own = Absolute()
    own.gain = torch.nn.Parameter(torch.ones(()))
    with warnings.catch_warnings(record=True) as first:
        warnings.simplefilter("always")
        compose(LinearPath(), divergence=own)
    assert any("parameters of its own" in str(w.message) for w in first)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        compose(LinearPath(), divergence=own.requires_grad_(False))
    assert not any("of its own" in str(w.message) for w in seen)


@pytest.mark.parametrize("wrong", [torch.nn.MSELoss(), lambda a, b: 1.0])
def test_a_loss_that_is_one_number_for_all_rows_is_refused(wrong: Callable[..., Tensor]) -> None:
    """Oracle: one number per row; the message says what PyTorch's own losses need."""
    with pytest.raises(InvalidInputError, match="reduction='none'"):
        UserDivergence(wrong)(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(InvalidTypeError, match="an instance of AbstractDivergence"):
        compose(LinearPath(), divergence=Squared)


def test_a_function_of_the_users_own_is_taken_and_marked() -> None:
    """Oracle: it is not known to be Bregman, which is said when the objective is composed."""
    with pytest.warns(ObjectiveWarning, match="not a Bregman divergence"):
        objective = compose(LinearPath(), divergence=lambda a, b: (a - b).abs().flatten(1).sum(1))
    assert isinstance(objective.divergence, UserDivergence)
    with pytest.raises(InvalidInputError, match="one number per row"):
        UserDivergence(lambda a, b: (a - b).abs())(torch.zeros(2, 3), torch.zeros(2, 3))


class Ramp(torch.nn.Module):
    """A weight of the user's own, with a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("power", torch.tensor(2.0))

    def forward(self, t: Tensor) -> Tensor:
        return (1 + t) ** self.power


@pytest.mark.parametrize(
    "own", [Ramp(), functools.partial(torch.pow, exponent=2), lambda t: t**2], ids=NUMBERS
)
def test_any_callable_is_taken_as_a_weight(own: Callable[[Tensor], Tensor]) -> None:
    """Oracle: its own values; a class is no instance, and said to be none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ObjectiveWarning)
        objective = compose(LinearPath(), weight=own)
    t = torch.linspace(0.1, 0.9, 8)
    c = LinearPath().coefficients(t)
    torch.testing.assert_close(objective.weight(t, c), own(t))
    with pytest.raises(InvalidTypeError, match="an instance of AbstractWeight"):
        compose(LinearPath(), weight=Constant)
