"""What a divergence refuses: targets, outputs and metrics outside their domain."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import precond_gm as pg
from precond_gm.errors import (
    InvalidInputError,
    ObjectiveWarning,
)
from precond_gm.objectives import compose
from precond_gm.objectives.divergences import (
    REGISTRY,
    BinaryCrossEntropy,
    CrossEntropy,
    Frobenius,
    GeneralisedKL,
    ItakuraSaito,
    LogDet,
    Mahalanobis,
    Output,
    Separable,
    Squared,
    VonNeumann,
)
from precond_gm.paths import LinearPath
from precond_gm.testing.divergence import draw_targets
from precond_gm.values import Pairing

DOUBLE = torch.float64


@pytest.mark.parametrize(
    ("divergence", "target", "message"),
    [
        (GeneralisedKL(), [[1.0, -0.5]], r"0 or more; got -0.5 at row 0, position \(1,\)"),
        (ItakuraSaito(), [[0.0, 1.0]], "above 0; got 0"),
        (BinaryCrossEntropy(), [[-1.0, 1.0]], "between the two values of a bit; got -1"),
        (CrossEntropy(), [[0.5, 0.6]], "probability vectors"),
        (LogDet(), [[[1.0, 2.0], [2.0, 1.0]]], "positive definite"),
        (Frobenius(), [[[1.0, 2.0], [0.0, 1.0]]], "symmetric"),
        (VonNeumann(), [[1.0, 2.0]], "got rows of shape"),
        (Squared(), [[math.nan, 1.0]], "finite numbers; got nan"),
    ],
)
def test_targets_outside_the_domain_are_refused(divergence, target, message) -> None:
    """Oracle: the domain in theory.md section 4; the message names value and position."""
    rows = torch.tensor(target)
    with pytest.raises(InvalidInputError, match=message):
        divergence.check(rows, rows)


@pytest.mark.parametrize(
    ("divergence", "make"),
    [(BinaryCrossEntropy(), torch.sigmoid), (CrossEntropy(), lambda x: x.softmax(-1))],
)
def test_probabilities_given_as_logits_are_noticed(divergence, make) -> None:
    """Oracle: outputs of a sigmoid or softmax are recognised, raw outputs are not."""
    raw = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    target = torch.nn.functional.one_hot(torch.arange(16) % 4, 4).float()
    with pytest.warns(ObjectiveWarning, match="takes logits"):
        divergence.check(target, make(raw))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        divergence.check(target, raw)
        divergence.check(target, torch.zeros(16, 4))  # a network that starts at zero


@pytest.mark.parametrize(
    ("divergence", "target", "prediction", "message"),
    [
        (GeneralisedKL(), [[1.0, 2.0]], [[1.0, -0.5]], r"0 or more; got -0.5 .*softplus\(x\), or"),
        (GeneralisedKL(), [[1.0, 2.0]], [[1.0, 0.0]], "above 0; got 0 at row 0.*softplus"),
        (
            ItakuraSaito(),
            [[1.0, 2.0]],
            [[0.0, 1.0]],
            r"predictions are .* above 0; got 0.*softplus",
        ),
        (LogDet(), [[[1.0, 0.0], [0.0, 1.0]]], [[[1.0, 2.0], [2.0, 1.0]]], r"L L\^T \+ eps I"),
        (LogDet(), [[[1.0, 0.0], [0.0, 1.0]]], [[[1.0, 0.5], [0.0, 1.0]]], "predictions are symm"),
        (VonNeumann(), [[[1.0, 0.0], [0.0, 0.0]]], [[[1.0, 0.0], [0.0, 0.0]]], "definite.*eps I"),
        (LogDet(), [[[1.0, 0.0], [0.0, 1.0]]], [[[math.nan, 0.0], [0.0, 1.0]]], "got nan"),
    ],
)
def test_outputs_outside_the_domain_are_refused(divergence, target, prediction, message) -> None:
    """Oracle: the divergence is not finite there; the message says how to end the network."""
    with pytest.raises(InvalidInputError, match=message):
        divergence.check(torch.tensor(target), torch.tensor(prediction))


def test_a_rate_of_zero_may_be_predicted_as_zero() -> None:
    """Oracle: D(0, 0) = 0 is finite."""
    GeneralisedKL().check(torch.zeros(2, 3), torch.zeros(2, 3))


@pytest.mark.parametrize("name", ["generalised-kl", "itakura-saito", "log-det", "von-neumann"])
def test_a_network_without_the_right_end_is_refused_and_with_it_trains(name: str) -> None:
    """Oracle: a default MLP has outputs of both signs, and the ending named is finite."""
    divergence = REGISTRY.create(name)
    x = draw_targets(divergence.domain, 16, dtype=torch.float32)
    torch.manual_seed(0)
    raw = pg.models.MLP(9, width=8, depth=1)

    def ended(out: Tensor) -> Tensor:
        if name in ("generalised-kl", "itakura-saito"):
            return torch.nn.functional.softplus(out) + 1e-6
        return out @ out.mT + 1e-3 * torch.eye(3)

    class Net(torch.nn.Module):
        def __init__(self, end: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.raw, self.end = raw, end

        def forward(self, t: Tensor, z: Tensor) -> Tensor:
            return self.end(self.raw(t, z.flatten(1)).reshape(z.shape))

    settings = {"prediction": "x1", "divergence": name, "event_shape": (3, 3)}
    with pytest.raises(InvalidInputError, match=r"predictions are .* End the network with"):
        pg.wrap(Net(lambda out: out), **settings).loss(x)
    g = torch.Generator().manual_seed(0)
    total = pg.wrap(Net(ended), **settings).loss(x, generator=g).total
    total.backward()
    assert bool(torch.isfinite(total))


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda t, z: -torch.eye(3).expand(len(t), 3, 3), "metrics are .* positive definite"),
        (lambda t, z: torch.eye(2).expand(len(t), 2, 2), r"\(batch, dim, dim\), here \(8, 3, 3\)"),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_a_metric_of_the_state_is_checked_on_the_first_batch(metric, message, inside) -> None:
    """Oracle: -I is no metric (its loss was negative), and a block has matrices of its own size."""
    divergence = Separable(Output(Mahalanobis(metric), 3)) if inside else Mahalanobis(metric)
    objective = compose(LinearPath(), divergence=divergence)
    z0, z1 = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(0))
    sample = LinearPath().sample(Pairing(z0, z1), torch.linspace(0.1, 0.9, 8))
    with pytest.raises(InvalidInputError, match=message):
        objective(sample, z0)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [([[1.0, 2.0], [0.0, 1.0]], "not symmetric"), ([[1.0, 0.0], [0.0, 0.0]], "never learned")],
)
def test_a_bad_metric_is_refused(matrix: list[list[float]], message: str) -> None:
    """Oracle: a direction of weight zero is never learned."""
    with pytest.raises(InvalidInputError, match=message):
        Mahalanobis(torch.tensor(matrix))
