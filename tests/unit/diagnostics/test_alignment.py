"""The alignment report: exact weights, alternatives, and gradients measured on a network."""

from __future__ import annotations

import json
import math

import pytest
import torch

import precond_gm as pg
from precond_gm.diagnostics.alignment import alignment, alignment_table
from precond_gm.errors import IncompatiblePartsError, InvalidInputError
from precond_gm.paths import BrownianBridge
from precond_gm.values import TargetKind


def test_report_of_the_singular_cell() -> None:
    """Oracle: x1-prediction with v-loss has weight 1/(1-t)^2 (theory.md, section 5)."""
    report = alignment("linear", "x1", "velocity")
    t = torch.tensor([0.5, 0.9], dtype=torch.float64)
    torch.testing.assert_close(report.weight(t), torch.tensor([4.0, 100.0], dtype=torch.float64))
    assert report.supremum == math.inf
    assert not report.is_integrable
    assert not report.is_bounded
    assert report.aligned_alternative == (TargetKind.X1, TargetKind.X1)
    assert alignment("linear", "x1", "velocity", clamp=0.05).supremum == pytest.approx(400)


def test_the_bridges_drift_is_aligned_and_not_bounded() -> None:
    """Oracle: theory.md section 3: the target's variance grows like 1/(1-t); predict z1."""
    report = alignment(BrownianBridge(), "drift")
    assert report.is_aligned
    assert not report.is_bounded
    assert report.aligned_alternative == (TargetKind.X1, TargetKind.X1)
    assert alignment("brownian-bridge").is_bounded


def test_table_is_that_of_the_theory() -> None:
    """Oracle: theory.md section 5, cell by cell; a path without noise has no drift row."""
    table = alignment_table("linear")
    assert table[TargetKind.X0] == {
        TargetKind.VELOCITY: "1/t^2",
        TargetKind.X1: "(1-t)^2/t^2",
        TargetKind.X0: "1",
    }
    assert TargetKind.DRIFT not in table
    bridge = alignment_table("brownian-bridge")
    assert bridge[TargetKind.X1][TargetKind.DRIFT] == "1/(1-t)^2"
    assert bridge[TargetKind.DRIFT][TargetKind.X1] == "(1-t)^2"
    assert TargetKind.DRIFT not in bridge[TargetKind.X0]
    assert len(alignment_table("brownian-bridge", gaussian_source=True)[TargetKind.X0]) == 6


def test_measured_gradients_follow_the_implied_weight() -> None:
    """Oracle: the same network, rows and noise: v-loss over x1-loss gradients is 1/(1-t)^2.

    The pairs are the same under one seed, and on the linear path the v-residual is the x1-residual
    over 1 - t, so the ratio is exact. Tolerance: rounding in float32.
    """
    torch.manual_seed(0)
    flow = pg.wrap(pg.models.MLP(2, width=8, depth=1), prediction="x1", event_shape=2)
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    aligned, singular = (
        alignment(
            "linear",
            "x1",
            space,
            flow=flow,
            x=x,
            times=9,
            generator=torch.Generator().manual_seed(1),
        ).measured
        for space in ("x1", "velocity")
    )
    factor = 1 / (1 - aligned.t) ** 2
    torch.testing.assert_close(
        singular.gradient_norm / aligned.gradient_norm, factor, rtol=1e-3, atol=0
    )
    torch.testing.assert_close(singular.loss / aligned.loss, factor, rtol=1e-3, atol=0)


def test_measured_report_reduces_to_numbers_and_a_figure() -> None:
    """Oracle: JSON takes it, metrics are finite, the figure has two panels."""
    torch.manual_seed(0)
    flow = pg.wrap(pg.models.MLP(2, width=8, depth=1), prediction="x1", event_shape=2)
    report = alignment("linear", "x1", flow=flow, x=torch.randn(32, 2), times=3, batches=2)
    json.dumps(report.to_dict())
    assert all(math.isfinite(v) for v in report.as_metrics().values())
    assert len(report.plot().axes) == 2
    assert len(alignment("linear", "x1", "velocity").plot().axes) == 1
    assert "alignment/supremum" not in alignment("linear", "x1", "velocity").as_metrics()


def test_what_cannot_be_reported_is_refused() -> None:
    """Oracle: the messages name the next step."""
    flow = pg.wrap(pg.models.MLP(2, width=8), prediction="x1", event_shape=2)
    with pytest.raises(InvalidInputError, match="give flow and x"):
        alignment("linear", "x1", flow=flow)
    with pytest.raises(IncompatiblePartsError, match="prediction='x1'"):
        alignment("linear", "velocity", flow=flow, x=torch.randn(4, 2))
    with pytest.raises(IncompatiblePartsError, match="drift is not defined"):
        alignment("linear", "drift")
    for sizes in ({"batches": 8}, {"batches": 0}, {"times": 0, "batches": 1}):
        with pytest.raises(InvalidInputError, match=r"and 4 rows\. Give batches=4, or more rows"):
            alignment("linear", "x1", flow=flow, x=torch.randn(4, 2), **sizes)
