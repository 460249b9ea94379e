"""Several outputs side by side."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import precond_gm as pg
from precond_gm.errors import (
    IncompatiblePartsError,
    InvalidInputError,
    SingularCellWarning,
)
from precond_gm.objectives import compose
from precond_gm.objectives.divergences import (
    BinaryCrossEntropy,
    Huber,
    Mahalanobis,
    Output,
    Separable,
    Squared,
)
from precond_gm.paths import LinearPath
from precond_gm.values import Pairing

DOUBLE = torch.float64


def test_outputs_side_by_side_add_up_with_their_weights() -> None:
    """Oracle: the two losses computed apart. Tolerance: rounding."""
    both = Separable(Output(Squared(), 2), Output(BinaryCrossEntropy(), 3, weight=0.5))
    g = torch.Generator().manual_seed(0)
    real, logits = torch.randn(4, 2, generator=g), torch.randn(4, 3, generator=g)
    bits = (torch.randn(4, 3, generator=g) > 0).float()
    target, guess = torch.cat([torch.zeros(4, 2), bits], 1), torch.cat([real, logits], 1)
    both.check(target, guess)
    exact = real.square().sum(1) + 0.5 * BinaryCrossEntropy()(bits, logits)
    torch.testing.assert_close(both(target, guess), exact)
    torch.testing.assert_close(both.mean(guess)[:, 2:], logits.sigmoid())
    torch.testing.assert_close(both.mean(both.link(both.mean(guess))), both.mean(guess))
    assert both.is_bregman
    assert not Separable(Output(Huber(), 2)).is_bregman
    with pytest.raises(InvalidInputError, match="2 \\+ 3 = 5"):
        both(target[:, 1:], guess[:, 1:])
    with pytest.raises(InvalidInputError, match="never learned"):
        Separable(Output(Squared(), 2, weight=0.0))


def test_what_one_output_cannot_do_the_whole_cannot() -> None:
    """Oracle: the rules for a block alone: bits are no velocity, and follow no preconditioner."""
    bits = Separable(Output(Squared(), 2), Output(BinaryCrossEntropy(), 1))
    assert bits.domain is BinaryCrossEntropy.domain
    assert not bits.is_translation_invariant
    with pytest.raises(IncompatiblePartsError, match="which a velocity is not"):
        compose(LinearPath(), prediction="velocity", divergence=bits)
    with pytest.raises(IncompatiblePartsError, match="cannot follow x1 into the loss space"):
        compose(LinearPath(), prediction="x1", loss_space="x0", divergence=bits)
    net = pg.models.MLP(3, width=8)
    with pytest.raises(IncompatiblePartsError, match="cannot follow Whiten into z"):
        pg.wrap(net, prediction="x1", divergence=bits, preconditioner="whiten", event_shape=3)
    with pytest.raises(InvalidInputError, match="got none"):
        Separable()


def test_outputs_on_real_numbers_change_the_loss_space() -> None:
    """Oracle: the two squared losses apart, converted by 1/(1-t)^2. Tolerance: rounding."""
    real = Separable(Output(Squared(), 2, weight=3.0), Output(Squared(), 1))
    with pytest.warns(SingularCellWarning):
        objective = compose(LinearPath(), prediction="x1", loss_space="velocity", divergence=real)
    z0, z1, guess = torch.randn(3, 8, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0.1, 0.9, 8, dtype=DOUBLE)
    sample = LinearPath().sample(Pairing(z0, z1), t, target=objective.loss_space)
    own = (guess - z1).square() / (1 - t)[:, None] ** 2
    torch.testing.assert_close(objective(sample, guess).per_row, 3 * own[:, :2].sum(1) + own[:, 2])


def test_an_output_may_have_a_metric_of_time_and_state() -> None:
    """Oracle: the quadratic form written out; the metric is given the whole state."""

    def metric(t: Tensor, z: Tensor) -> Tensor:
        assert z.shape[1] == 3
        return (1 + t + z[:, 2].square())[:, None, None] * torch.eye(2, dtype=DOUBLE)

    both = Separable(Output(Mahalanobis(metric), 2, weight=0.5), Output(Squared(), 1))
    z0, z1 = torch.randn(2, 8, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0.1, 0.9, 8, dtype=DOUBLE)
    sample = LinearPath().sample(Pairing(z0, z1), t)
    got = compose(LinearPath(), divergence=both)(sample, torch.zeros_like(z0)).per_row
    square = sample.target.square()
    factor = 1 + t + sample.z_t[:, 2].square()
    torch.testing.assert_close(got, 0.5 * factor * square[:, :2].sum(1) + square[:, 2])
