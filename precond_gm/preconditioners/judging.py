r"""How a fit is judged, the same for every map: likelihood, conditioning and round trip."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from precond_gm.numerics.moments import Moments
from precond_gm.numerics.rows import flatten
from precond_gm.preconditioners.base import AbstractPreconditioner, FitReport
from precond_gm.values import Batch

__all__ = ["condition_number", "gaussian_log_density", "judge", "judged_features"]

ROWS_PER_FEATURE = 8  # below, the spread of sample eigenvalues drowns the true one
MAX_FEATURES = 1024  # an eigendecomposition of this size takes a second


def gaussian_log_density(z: Tensor) -> Tensor:
    """Return ``log N(z; 0, I)`` of each row, in nats."""
    rows = flatten(z)
    squared = torch.linalg.vector_norm(rows, dim=1).square()
    return -0.5 * (squared + rows.shape[1] * math.log(2 * math.pi))


def condition_number(rows: Tensor, label: Tensor | None = None) -> tuple[float, str | None]:
    r"""Return the largest condition number over labels of the covariance of rows.

    Labels with fewer than 8 rows per feature are left out. Where that leaves none, the
    covariance within labels is pooled and cut down to as many features, evenly spaced, as the
    rows can judge: by Cauchy interlacing a lower bound, and a note says so.
    """
    rows = flatten(rows).detach()
    count, dim = rows.shape
    groups = [rows] if label is None else [rows[label == index] for index in torch.unique(label)]
    judged = [group for group in groups if group.shape[0] >= ROWS_PER_FEATURE * dim]
    if judged and dim <= MAX_FEATURES:
        return max(_condition(Moments.of(group)) for group in judged), None
    width = judged_features(count, dim)
    picked = torch.linspace(0, dim - 1, width, device=rows.device).round().long()
    within = [Moments.of(group[:, picked]) for group in groups]
    scatter = torch.stack([part.scatter for part in within]).sum(0)
    note = (
        f"conditioning judged on {count} rows with the labels pooled, and on {width} of {dim} "
        f"features: a lower bound"
    )
    return _condition(Moments(count, within[0].mean, scatter)), note


def judged_features(count: int, dim: int) -> int:
    """Return how many of the features so many rows can judge together."""
    return min(dim, MAX_FEATURES, max(2, count // ROWS_PER_FEATURE))


def judge(
    preconditioner: AbstractPreconditioner,
    held: Batch,
    *,
    num_rows: int,
    started: float,
    steps: int = 0,
    notes: tuple[str, ...] = (),
) -> FitReport:
    """Judge a fitted map on rows that were held out.

    Args:
        preconditioner: The map.
        held: Rows held out.
        num_rows: Rows fitted on.
        started: ``time.perf_counter()`` when the fit began.
        steps: Optimiser steps.
        notes: What the fit has to say.
    """
    with torch.no_grad():
        there = preconditioner(held.x, held.label)
        back = preconditioner.inverse(there.value, held.label).value
        gap = torch.linalg.vector_norm(back - held.x, ord=math.inf)
        error = gap / torch.linalg.vector_norm(held.x, ord=math.inf).clamp_min(1e-30)
        del back  # as large as the rows, which may be as many as fit
    before, note = condition_number(held.x, held.label)
    after, _ = condition_number(there.value, held.label)
    said = (*notes, note) if note else notes
    noise = 4 * math.sqrt(flatten(held.x).shape[1] / held.x.shape[0])  # of sample eigenvalues
    if note is None and after > before * (1 + noise):
        said = (*said, f"held-out conditioning got worse: {before:.4g} before, {after:.4g} after")
    return FitReport(
        name=type(preconditioner).__name__,
        num_rows=num_rows,
        steps=steps,
        seconds=time.perf_counter() - started,
        log_likelihood=float((gaussian_log_density(there.value) + there.log_abs_det).mean()),
        condition_before=before,
        condition_after=after,
        round_trip_error=float(error),
        notes=said,
    )


def _condition(moments: Moments) -> float:
    values = torch.linalg.eigvalsh(moments.covariance)
    smallest, largest = float(values[0]), float(values[-1])
    if largest <= 0:
        return 1.0  # no variance at all: nothing is better or worse conditioned
    return largest / smallest if smallest > 1e-14 * largest else math.inf
