"""What a map does to rows, before and after."""

from __future__ import annotations

import pytest
import torch

from precond_gm.diagnostics import effect
from precond_gm.preconditioners import Whiten
from precond_gm.values import Batch


def turned(rows: int, seed: int) -> Batch:
    """Return two labels of Gaussians, the second one with condition number 1e4."""
    draw = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.tensor([[1.0, 2.0], [2.0, -1.0]], dtype=torch.float64)).Q
    label = torch.arange(rows) % 2
    x = torch.randn(rows, 2, generator=draw, dtype=torch.float64)
    x[:, 1] *= torch.where(label == 1, 0.01, 1.0)
    return Batch(x @ turn.T + label[:, None], label)


def test_worst_label_before_and_after() -> None:
    """Oracle: the spectrum that was drawn; 4 standard errors of 2,000 rows."""
    train, held = turned(4000, 0), turned(4000, 1)
    part = Whiten()
    part.fit(train.x, train.label)
    report = effect(part, held.x, held.label, times=11)
    assert report.group == "label 1"
    assert report.before.worst == pytest.approx(1e4, rel=0.3)
    assert report.after.worst < 1.3
    widths = report.rows_before.std(0)
    assert float(widths[0] / widths[1]) == pytest.approx(100, rel=0.15)
    torch.testing.assert_close(
        report.rows_after.std(0), torch.ones(2, dtype=torch.float64), atol=0.1, rtol=0
    )
    assert len(report.plot().axes) == 4
    assert set(report.as_metrics()) == {"effect/before", "effect/after"}


@pytest.mark.parametrize("labelled", [True, False])
def test_few_rows_are_pooled(labelled: bool) -> None:
    """Oracle: no label has ten rows per feature, so the figures are about all rows; the spectrum
    within labels has no variance between them.
    """
    rows = turned(30, 0)
    part = Whiten()
    part.fit(rows.x, rows.label)
    label = rows.label if labelled else None
    held = Batch(rows.x + 0.0, rows.label)
    if not labelled:
        part = Whiten()
        part.fit(rows.x)
    report = effect(part, held.x, label, times=5)
    assert report.group == ("all rows within their labels" if labelled else "all rows")
    assert torch.isfinite(report.rows_after).all()
    report.plot()
