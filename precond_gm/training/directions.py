"""What a run's result says direction by direction: under-fitted cells, and the solver's part."""

from __future__ import annotations

from typing import Any

from precond_gm.data import Prepared
from precond_gm.diagnostics import UnderfitReport, exact_recovery, underfit
from precond_gm.flow import PreconditionedFlow
from precond_gm.values import Batch
from precond_gm.values.report import plain

__all__ = ["MOST_FEATURES", "exact_directions", "map_of", "underfitted"]

MOST_FEATURES = 1024  # beyond, eigenvectors cost minutes
_TIMES, _ROWS, _REFERENCE_ROWS = 11, 2048, 20_000


def underfitted(flow: PreconditionedFlow, data: Prepared) -> UnderfitReport | None:
    """Judge the network on test rows against an affine map of training rows.

    Returns:
        The report, or None where rows have too many features.
    """
    if data.test.x[0].numel() > MOST_FEATURES:
        return None
    judged, train = _on(data.test, flow), _on(data.train, flow)
    return underfit(
        flow,
        judged.x,
        judged.label,
        reference=train.x,
        reference_label=train.label,
        times=_TIMES,
        max_rows=_ROWS,
    )


def map_of(report: UnderfitReport | None) -> dict[str, Any]:
    """Return what the figures draw of it, as plain values."""
    if report is None:
        return {}
    ratio = report.network_error / report.linear_error
    cells = {"t": report.t, "ratio": ratio, "underfitted": report.underfitted}
    return {name: plain(value) for name, value in cells.items()}


def exact_directions(flow: PreconditionedFlow, data: Prepared, steps: int) -> dict[str, Any]:
    """Return the recovery of the exact Gaussian field on the solver's grid, where it is known."""
    train = _on(data.train, flow)
    found = exact_recovery(flow, train.x, train.label, steps=steps)
    if found is None:
        return {}
    return {"exact_eigenvalue": plain(found[0]), "exact_ratio": plain(found[1])}


def _on(part: Batch, flow: PreconditionedFlow) -> Batch:
    device = next(flow.parameters()).device
    label = None if part.label is None else part.label[:_REFERENCE_ROWS].to(device)
    return Batch(part.x[:_REFERENCE_ROWS].to(device), label)
