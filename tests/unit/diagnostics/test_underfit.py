"""Under-fitted directions: nothing is said of an optimal field, a damaged direction is found."""

from __future__ import annotations

import json
import math
import sys

import pytest
import torch
from torch import Tensor, nn

import precond_gm as pg
from precond_gm.diagnostics.underfit import underfit
from precond_gm.errors import (
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
    NotFittedError,
)

VARIANCES = torch.tensor([1e-3, 0.1, 1.0, 4.0, 25.0], dtype=torch.float64)


class Exact(nn.Module):
    """Exact mean of the target for N(0, diag(VARIANCES)) data, with one direction scaled."""

    def __init__(self, kind: str, sigma2: float, damaged: int | None = None) -> None:
        super().__init__()
        self.kind, self.sigma2 = kind, sigma2
        self.factor = torch.ones(5, dtype=torch.float64)
        if damaged is not None:
            self.factor[damaged] = 0.0

    def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        t = t[:, None].to(z)
        noise = (1 - t) ** 2 + self.sigma2 * t * (1 - t)
        total = noise + t**2 * VARIANCES
        x1 = t * VARIANCES / total * z
        if self.kind == "x1":
            return self.factor * x1
        return self.factor * (x1 - (1 - t) / total * z)  # E[z1 - z0 | z_t]


def flow_of(path: str, damaged: int | None = None, **parts: object) -> pg.PreconditionedFlow:
    bridge = path == "brownian-bridge"
    network = Exact("x1" if bridge else "velocity", 2.0 if bridge else 0.0, damaged)
    return pg.wrap(network, path=path, event_shape=(5,), **parts)  # type: ignore[arg-type]


def gaussian(rows: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 5, generator=generator, dtype=torch.float64) * VARIANCES.sqrt()


@pytest.mark.parametrize("path", ["linear", "brownian-bridge"])
def test_an_optimal_field_is_left_alone(path: str) -> None:
    """Oracle: the exact conditional mean of a Gaussian; its errors are the exact residuals.

    Tolerance: 2,000 rows, so a mean square is known to 3 %; five of these.
    """
    report = underfit(flow_of(path), gaussian(2000), times=9)
    assert not report.underfitted.any()
    t = report.t[:, None]
    noise = (1 - t) ** 2 + (0 if path == "linear" else 2) * t * (1 - t)
    total = noise + t**2 * VARIANCES
    if path == "linear":  # Var(z1 - z0 | z_t)
        exact = 1 + VARIANCES - (t * VARIANCES - (1 - t)) ** 2 / total
    else:
        exact = VARIANCES - t**2 * VARIANCES**2 / total
    torch.testing.assert_close(report.network_error, exact, rtol=0.17, atol=0)
    torch.testing.assert_close(report.linear_error, exact, rtol=0.17, atol=0)
    torch.testing.assert_close(report.eigenvalues, total.sort(1).values, rtol=0.17, atol=0)


@pytest.mark.parametrize(
    ("path", "damaged"),
    # On the bridge, z_t says less than 1 % about z1 along the variance 1e-3: within the margin.
    [("linear", 0), ("linear", 2), ("linear", 4), ("brownian-bridge", 1), ("brownian-bridge", 4)],
)
def test_the_damaged_direction_alone_is_found(path: str, damaged: int) -> None:
    """Oracle: the prediction along one direction is set to zero, the others stay optimal."""
    report = underfit(flow_of(path, damaged), gaussian(4000), times=9)
    found = report.underfitted.any(0)
    assert found.tolist() == [index == damaged for index in range(5)]
    assert report.num_directions == 1
    assert float(report.explained[:, damaged].abs().max()) < 0.01


class Isotropic(nn.Module):
    """Exact velocity from N(0, I) to N(0, I) on the linear path."""

    def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        t = t[:, None]
        return (2 * t - 1) / ((1 - t) ** 2 + t**2) * z


@pytest.mark.parametrize("rows", [20, 80, 160])
@pytest.mark.parametrize("reference", [None, 2000])
def test_few_rows_flag_nothing_of_an_exact_field(rows: int, reference: int | None) -> None:
    """Oracle: the exact field of N(0, I) in 40 features. Nothing may be flagged in six tables.

    At level 5 % and with a margin of as much again, one of 36 tables would be flagged by chance in
    well under half of all seeds; the seeds are fixed.
    """
    flow = pg.wrap(Isotropic(), event_shape=(40,))
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(rows, 40, generator=generator)
        known = None if reference is None else torch.randn(reference, 40, generator=generator)
        report = underfit(flow, x, reference=known, times=7)
        assert not report.underfitted.any()
        assert report.is_judged == (reference is not None or rows >= 160)
        assert ("underfit/cells" in report.as_metrics()) == report.is_judged


def test_directions_come_from_rows_that_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the exact field; below 4 rows per feature its own eigenvectors flagged every table.

    The threshold is taken away, so that the cross-fitted directions alone must hold.
    """
    monkeypatch.setattr(sys.modules[underfit.__module__], "ROWS_PER_FEATURE", 0)
    flow = pg.wrap(Isotropic(), event_shape=(40,))
    for rows in (20, 40, 60):
        x = torch.randn(rows, 40, generator=torch.Generator().manual_seed(rows))
        report = underfit(flow, x, times=7)
        assert report.is_judged
        assert not report.underfitted.any()


def test_rows_that_determine_no_affine_map_are_not_judged() -> None:
    """Oracle: 4 rows per feature, or 2 of the reference; the note says which and how many."""
    flow = flow_of("linear", damaged=3)
    few = underfit(flow, gaussian(19), times=3)
    assert few.excess_low.isnan().all()
    assert not few.underfitted.any()
    assert "takes 20 rows or more, and 19 were given" in few.notes[0]
    short = underfit(flow, gaussian(1000), reference=gaussian(9, 1), times=3)
    assert "takes 10 reference rows or more, and 9 were given" in short.notes[0]
    limited = underfit(flow, gaussian(1000), max_rows=16, times=3)
    assert "max_rows" in limited.notes[0]
    assert not underfit(flow, gaussian(20), times=3).notes


def test_a_network_that_gives_nan_is_refused() -> None:
    """Oracle: NaN in every fourth row after t = 1/2; the message names the time and the share."""

    class Broken(nn.Module):
        def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
            bad = (torch.arange(z.shape[0]) % 4 == 0) & (t > 0.5)
            return torch.where(bad[:, None], torch.nan, 0 * z)

    with pytest.raises(NonFiniteError, match=r"at t = 0\.75, in 10 of 40 rows \(25 %\)"):
        underfit(pg.wrap(Broken(), event_shape=(5,)), gaussian(40), times=2)


def test_forgotten_labels_are_said() -> None:
    """Oracle: a flow with labels, judged without them, or with labels in some batches only."""
    flow = pg.wrap(Isotropic(), event_shape=(5,), num_labels=2)
    label = torch.arange(40) % 2
    with pytest.warns(UserWarning, match="num_labels=2, and is judged without labels"):
        underfit(flow, gaussian(40), times=1)
    with pytest.raises(InvalidInputError, match="1 of 2 batches carry no label"):
        underfit(flow, [(gaussian(40), label), (gaussian(40), None)], times=1)
    with pytest.raises(InvalidInputError, match="label is 2 at row 39"):
        underfit(flow, gaussian(40), label.index_fill(0, torch.tensor(39), 2), times=1)


def test_labels_give_the_competitor_an_intercept_each() -> None:
    """Oracle: data that are their label's mean; knowing it, x1 is predicted almost exactly."""
    means = torch.tensor([[-3.0, 0.0], [3.0, 1.0]], dtype=torch.float64)
    label = torch.arange(400) % 2
    noise = torch.randn(400, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = means[label] + 0.01 * noise

    class Blind(nn.Module):
        def forward(self, t: Tensor, z: Tensor, label: Tensor) -> Tensor:
            return torch.zeros_like(z)

    flow = pg.wrap(Blind(), path="brownian-bridge", num_labels=2, event_shape=(2,))
    report = underfit(flow, x, label, times=3)
    assert report.underfitted.all()
    assert float(report.linear_explained[:, 1].min()) > 0.999


def test_no_row_is_judged_by_a_map_that_saw_it() -> None:
    """Oracle: labels of one row each way; a map that saw the row of its label knows it exactly.

    Every label occurs once, so out of fold its intercept is the mean of all other rows, and the
    affine map explains nothing of x1 = 100 label.
    """
    label = torch.arange(64)
    x = 100 * torch.stack([label, -label], 1).double()

    class Mean(nn.Module):
        def forward(self, t: Tensor, z: Tensor, label: Tensor) -> Tensor:
            return torch.zeros_like(z) + torch.tensor([3150.0, -3150.0], dtype=torch.float64)

    flow = pg.wrap(Mean(), path="brownian-bridge", num_labels=64, event_shape=(2,))
    report = underfit(flow, x, label, times=torch.tensor([1e-6], dtype=torch.float64))
    assert float(report.linear_explained[0, 1]) < 0.01
    assert not report.underfitted.any()


def test_reference_rows_fit_the_competitor() -> None:
    """Oracle: a reference with another law gives a bad affine map, which flags nothing at all."""
    flow = flow_of("linear", damaged=3)
    honest = underfit(flow, gaussian(1000), reference=gaussian(1000, 1), times=5)
    foreign = underfit(flow, gaussian(1000), reference=gaussian(1000, 1) + 100, times=5)
    assert honest.underfitted.any()
    assert not foreign.underfitted[:, 3].any()


def test_dependent_couplings_and_preconditioners_work() -> None:
    """Oracle: after whitening the optimal velocity of a Gaussian is known; zero is worse."""

    class Zero(nn.Module):
        def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
            return torch.zeros_like(z)

    flow = pg.wrap(Zero(), preconditioner="whiten", coupling="ot", event_shape=(5,))
    flow.fit_preconditioner(gaussian(1000))
    report = underfit(flow, gaussian(512, 1), times=5)
    assert report.underfitted.any()
    assert flow.training


def test_report_is_plain_and_finite() -> None:
    """Oracle: JSON accepts it, metrics are finite, the figure has a map, a bar and a curve."""
    report = underfit(flow_of("linear", 0), gaussian(64), times=3)
    assert all(math.isfinite(v) for v in report.as_metrics().values())
    json.dumps(report.to_dict(), allow_nan=False)
    assert len(report.plot().axes) == 3


def test_bad_input() -> None:
    """Oracle: the message names what is wrong."""
    flow = flow_of("linear")
    with pytest.raises(InvalidInputError, match="rows of shape"):
        underfit(flow, torch.zeros(20, 3, dtype=torch.float64))
    with pytest.raises(InvalidInputError, match="at least 8 rows"):
        underfit(flow, gaussian(7))
    for margin in (-1.0, math.nan, math.inf):
        with pytest.raises(InvalidInputError, match="margin is the share"):
            underfit(flow, gaussian(20), margin=margin)
    with pytest.raises(InvalidInputError, match="max_rows is at least 8"):
        underfit(flow, gaussian(20), max_rows=0)
    single = pg.wrap(pg.models.MLP(5, width=8, depth=1), event_shape=(5,))
    with pytest.raises(InvalidTypeError, match="rows are float64, the network's weights are float"):
        underfit(single, gaussian(20))
    with pytest.raises(InvalidInputError, match="within"):
        underfit(flow, gaussian(9), times=torch.tensor([2.0]))
    unfitted = pg.wrap(Exact("velocity", 0.0), preconditioner="whiten", event_shape=(5,))
    with pytest.raises(NotFittedError):
        underfit(unfitted, gaussian(9))
