"""Under-fitted directions: nothing is said of an optimal field, a damaged direction is found."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor, nn

import precond_gm as pg
from precond_gm.diagnostics.underfit import underfit
from precond_gm.errors import InvalidInputError, NotFittedError

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
    with pytest.raises(InvalidInputError, match="within"):
        underfit(flow, gaussian(9), times=torch.tensor([2.0]))
    unfitted = pg.wrap(Exact("velocity", 0.0), preconditioner="whiten", event_shape=(5,))
    with pytest.raises(NotFittedError):
        underfit(unfitted, gaussian(9))
