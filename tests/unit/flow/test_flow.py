"""The flow's own arithmetic: losses, conversions, sampling, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import precond_gm as pg
from precond_gm.errors import (
    IncompatiblePartsError,
    InvalidInputError,
    InvalidTypeError,
    NotFittedError,
)


class Constant(nn.Module):
    """Predicts one value everywhere."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value)

    def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.value.expand_as(z) + 0 * z


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_loss_is_the_hand_written_one() -> None:
    """Oracle: the loss written out with the same draws; exact."""
    flow = pg.wrap(Constant(torch.ones(2, dtype=torch.float64)), event_shape=(2,))
    x = torch.randn(16, 2, generator=seeded(), dtype=torch.float64)
    got = flow.loss(x, generator=seeded(1))
    g = seeded(1)
    z0 = torch.randn(16, 2, generator=g, dtype=torch.float64)
    expected = ((x - z0) - 1).square().sum(1)
    torch.testing.assert_close(got.per_row, expected)
    torch.testing.assert_close(got.total, expected.mean())


@pytest.mark.parametrize("path", ["linear", "brownian-bridge"])
def test_x1_prediction_of_a_point_samples_that_point(path: str) -> None:
    """A field that always says x1 = c must end in c. Oracle: c, where the last step lands."""
    c = torch.tensor([3.0, -2.0], dtype=torch.float64)
    flow = pg.wrap(Constant(c), path=path, prediction="x1", event_shape=(2,))
    drawn = flow.sample(8, steps=7, generator=seeded())
    noise = 0.0 if path == "linear" else 2.0 / 7  # variance sigma^2 h of the last increment
    if noise == 0:
        torch.testing.assert_close(drawn.x, c.expand(8, 2))
    else:
        assert float((drawn.x - c).abs().max()) < 6 * noise**0.5  # six deviations


def test_dynamics_of_x1_prediction_on_the_bridge() -> None:
    """B = (x1 - z) / (1 - t). Oracle: that formula, at t = 0 too."""
    flow = pg.wrap(Constant(torch.ones(2)), path="brownian-bridge", event_shape=(2,))
    t, z = torch.tensor([0.0, 0.5, 0.9]), torch.randn(3, 2, generator=seeded())
    torch.testing.assert_close(flow.dynamics(t, z), (1 - z) / (1 - t)[:, None])


def test_sampling_undoes_the_map() -> None:
    """A field of velocity 0 leaves noise; the map turns it into the data's law.

    Oracle: mean and deviation of the data; 5 standard errors of 20,000 rows.
    """
    flow = pg.wrap(Constant(torch.zeros(2)), preconditioner="whiten")
    x = torch.randn(20_000, 2, generator=seeded()) * torch.tensor([30.0, 0.01]) + 7
    flow.fit_preconditioner(x)
    drawn = flow.sample(20_000, steps=1, generator=seeded(1)).x
    tolerance = 5 * 2**0.5 / 20_000**0.5
    assert ((drawn.mean(0) - x.mean(0)).abs() / x.std(0)).max() < tolerance
    assert (drawn.std(0) / x.std(0) - 1).abs().max() < tolerance


def test_trajectory_and_number_of_evaluations() -> None:
    """Euler takes one evaluation a step; Heun two. Oracle: counting."""
    flow = pg.wrap(Constant(torch.zeros(2)), event_shape=(2,))
    euler = flow.sample(3, steps=5, solver="euler", trajectory=True, generator=seeded())
    assert euler.trajectory is not None
    assert euler.trajectory.shape == (6, 3, 2)
    assert euler.num_evals == 5
    assert flow.sample(3, steps=5, generator=seeded()).num_evals == 10
    torch.testing.assert_close(euler.trajectory[-1], euler.x)


def test_labels_follow_the_fitted_frequencies() -> None:
    """Without a label, classes come as often as in the data. Oracle: binomial, 5 deviations."""
    flow = pg.wrap(Constant(torch.zeros(2)), num_labels=3)
    label = torch.tensor([0] * 75 + [1] * 25)
    flow.fit_preconditioner(torch.randn(100, 2, generator=seeded()), label)
    drawn = flow.sample(4000, steps=1, generator=seeded()).label
    assert drawn is not None
    assert abs(int((drawn == 0).sum()) - 3000) < 5 * (4000 * 0.75 * 0.25) ** 0.5
    assert int((drawn == 2).sum()) == 0
    with pytest.raises(InvalidInputError, match=r"label 2 .* never seen"):
        flow.sample(2, 2, steps=1)
    assert flow.sample(torch.tensor([1, 0]), steps=1).x.shape == (2, 2)
    assert flow.sample(2, 1, steps=1).label.tolist() == [1, 1]


def test_numbers_and_labels_of_any_kind() -> None:
    """Numpy and lists count as numbers and labels. Oracle: the call with an int or a tensor."""
    flow = pg.wrap(Constant(torch.zeros(2)), num_labels=3, event_shape=(2,))
    for n in (np.int64(3), torch.tensor(3)):
        assert flow.sample(n, 1, steps=np.int64(2)).x.shape == (3, 2)
    for labels in ([0, 1], (0, 1), np.array([0, 1]), torch.tensor([0, 1])):
        assert flow.sample(labels, steps=1).label.tolist() == [0, 1]
        assert flow.sample(2, labels, steps=1).label.tolist() == [0, 1]
    assert flow.sample(2, np.int64(2), steps=1).label.tolist() == [2, 2]
    for wrong in (3.0, "3", True, None, [[0], [1, 2]]):
        with pytest.raises(InvalidTypeError, match=r"a number of rows \(an integer\), or a tensor"):
            flow.sample(wrong, steps=1)
    with pytest.raises(InvalidTypeError, match="one label for all rows"):
        flow.sample(2, "cat", steps=1)


def test_wrong_solver_for_the_path_is_refused_before_any_work() -> None:
    """A drift path with Heun: the message of the house style."""
    flow = pg.wrap(Constant(torch.zeros(2)), path="brownian-bridge", event_shape=(2,))
    with pytest.raises(IncompatiblePartsError, match=r"target is a DRIFT.*'heun'.*VELOCITY"):
        flow.sample(2, solver="heun")
    ode = pg.wrap(Constant(torch.zeros(2)), event_shape=(2,))
    with pytest.raises(IncompatiblePartsError, match="VELOCITY"):
        ode.sample(2, solver="euler-maruyama")


def test_bad_input_is_named_by_position() -> None:
    """Values are checked where data enter."""
    flow = pg.wrap(Constant(torch.zeros(2)), preconditioner="standardize", num_labels=2)
    x, label = torch.randn(10, 2, generator=seeded()), torch.arange(10) % 2
    with pytest.raises(NotFittedError, match="fit_preconditioner"):
        flow.loss(x, label)
    broken = x.clone()
    broken[3, 1] = float("nan")
    with pytest.raises(InvalidInputError, match=r"nan at row 3, feature \(1,\); 1 of 10 rows"):
        flow.fit_preconditioner(broken, label)
    with pytest.raises(InvalidInputError, match="label is 7 at row 9"):
        flow.fit_preconditioner(x, torch.tensor([0] * 9 + [7]))
    with pytest.raises(InvalidTypeError, match="integer tensor"):
        flow.fit_preconditioner(x, label.float())
    with pytest.raises(InvalidInputError, match="give a label"):
        flow.fit_preconditioner(x)
    flow.fit_preconditioner(x, label)
    with pytest.raises(InvalidInputError, match=r"rows of shape \(3,\), expected \(2,\)"):
        flow.precondition(torch.randn(4, 3), torch.zeros(4, dtype=torch.long))
    with pytest.raises(InvalidTypeError, match="floating tensor"):
        flow.loss(torch.zeros(4, 2, dtype=torch.long), label[:4])
    with pytest.raises(InvalidInputError, match="one per row"):
        flow.loss(x, label[:4])
    with pytest.raises(InvalidInputError, match="read only once"):
        flow.fit_preconditioner(iter([x]))


def test_rows_of_another_precision_are_explained() -> None:
    """Oracle: the message names both dtypes, and the cast that it tells works."""
    flow = pg.wrap(pg.models.MLP(2, width=8, depth=1), event_shape=(2,))
    x = torch.randn(8, 2, generator=seeded(), dtype=torch.float64)
    message = r"rows are float64, the network's weights are float32.*x\.to\(torch\.float32\)"
    for call in (flow.loss, lambda rows: flow.encode(rows, steps=1)):
        with pytest.raises(InvalidTypeError, match=message):
            call(x)
        call(x.to(torch.float32))
    assert flow.to(torch.float64).loss(x).total.dtype == torch.float64


def test_a_network_that_converts_its_input_is_left_to() -> None:
    """Oracle: float64 rows reach a network with float32 weights, which promotes them."""
    flow = pg.wrap(Constant(torch.zeros(2)), event_shape=(2,))
    assert flow.loss(torch.zeros(4, 2, dtype=torch.float64)).total.dtype == torch.float64


def test_a_fitted_map_knows_the_shape_of_rows() -> None:
    """Oracle: a map fitted elsewhere on two features; z rows and pairs of three are refused."""
    part = pg.preconditioners.REGISTRY.create("whiten")
    part.fit(torch.randn(64, 2, generator=seeded()))
    flow = pg.wrap(pg.models.MLP(2, width=8, depth=1), preconditioner=part)
    assert flow.event_shape is None
    z = torch.zeros(4, 3)
    with pytest.raises(InvalidInputError, match=r"shape \(3,\), the flow was fitted on \(2,\)"):
        flow.loss(z, preconditioned=True)
    with pytest.raises(InvalidInputError, match=r"shape \(3,\), the flow was fitted on \(2,\)"):
        flow.loss(pg.values.Pairing(z, z, None))


def test_same_seed_same_run() -> None:
    """Every random call takes the generator. Oracle: equality."""
    flow = pg.wrap(
        Constant(torch.zeros(2)), path="brownian-bridge", preconditioner="whiten", num_labels=2
    )
    x, label = torch.randn(40, 2, generator=seeded()), torch.arange(40) % 2
    flow.fit_preconditioner(x, label, generator=seeded())
    a, b = (flow.loss(x, label, generator=seeded(3)).total for _ in range(2))
    assert torch.equal(a, b)
    p, q = (flow.sample(6, steps=3, generator=seeded(3)) for _ in range(2))
    assert torch.equal(p.x, q.x)


def test_fit_from_batches_equals_fit_from_a_tensor() -> None:
    """Streaming changes nothing. Oracle: the fit in memory, at float32 resolution."""
    x = torch.randn(100, 2, generator=seeded())
    flows = [pg.wrap(Constant(torch.zeros(2)), preconditioner="whiten") for _ in range(2)]
    flows[0].fit_preconditioner(x, generator=seeded())
    flows[1].fit_preconditioner(list(x.split(32)), generator=seeded())
    torch.testing.assert_close(flows[0].precondition(x), flows[1].precondition(x))
