r"""How a fit is judged, the same for every map: likelihood, conditioning and round trip."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.moments import Moments
from precond_gm.numerics.rows import flatten
from precond_gm.preconditioners.base import AbstractPreconditioner, FitReport
from precond_gm.values import Batch

__all__ = ["Conditioning", "condition_number", "gaussian_log_density", "judge", "judged_features"]

ROWS_PER_FEATURE = 8  # below, the spread of sample eigenvalues drowns the true one
MAX_FEATURES = 1024  # an eigendecomposition of this size takes a second
FAR = 40.0  # deviations: whitened real tables reach that far
FAR_ROWS = 64  # rows moved that far out
FAR_FACTOR = 100.0  # slopes are extreme there, which costs digits


@dataclass(frozen=True)
class Conditioning:
    """A condition number, and what it was judged on.

    Attributes:
        value: Largest condition number over labels, or that of the pooled law.
        rows: Rows of the law judged; the fewest, where there are several.
        features: Features judged together.
        note: What was left out, if anything was.
    """

    value: float
    rows: int
    features: int
    note: str | None = None

    @property
    def noise(self) -> float:
        """Relative error of sample eigenvalues, four times: what may be chance."""
        return 4 * math.sqrt(self.features / self.rows)


def gaussian_log_density(z: Tensor) -> Tensor:
    """Return ``log N(z; 0, I)`` of each row, in nats."""
    rows = flatten(z)
    squared = torch.linalg.vector_norm(rows, dim=1).square()
    return -0.5 * (squared + rows.shape[1] * math.log(2 * math.pi))


def condition_number(rows: Tensor, label: Tensor | None = None) -> Conditioning:
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
        value = max(_condition(Moments.of(group)) for group in judged)
        return Conditioning(value, min(group.shape[0] for group in judged), dim)
    width = judged_features(count, dim)
    picked = torch.linspace(0, dim - 1, width, device=rows.device).round().long()
    within = [Moments.of(group[:, picked]) for group in groups]
    scatter = torch.stack([part.scatter for part in within]).sum(0)
    note = (
        f"conditioning judged on {count} rows with the labels pooled, and on {width} of {dim} "
        f"features: a lower bound"
    )
    value = _condition(Moments(count, within[0].mean, scatter))
    return Conditioning(value, count, width, note)


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

    The notes say so where the round trip of these rows, or of rows 40 deviations out, is worse
    than the map's stated tolerance, and where conditioning got worse.

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
        error = _gap(back, held.x)
        del back  # as large as the rows, which may be as many as fit
        said = [*notes, *_losses(preconditioner, held, error)]
    before = condition_number(held.x, held.label)
    after = condition_number(there.value, held.label)
    said += [] if before.note is None else [before.note]
    if after.value > before.value * (1 + before.noise):
        said.append(
            f"held-out conditioning got worse: {before.value:.4g} before, {after.value:.4g} after"
        )
    return FitReport(
        name=type(preconditioner).__name__,
        num_rows=num_rows,
        steps=steps,
        seconds=time.perf_counter() - started,
        log_likelihood=float((gaussian_log_density(there.value) + there.log_abs_det).mean()),
        condition_before=before.value,
        condition_after=after.value,
        round_trip_error=error,
        notes=tuple(said),
    )


def _losses(preconditioner: AbstractPreconditioner, held: Batch, error: float) -> list[str]:
    """Say where rows do not come back within the map's tolerance."""
    tolerance, said = preconditioner.tolerance, []
    if not error <= tolerance:
        said.append(
            f"round trip off by {error:.2g} of the largest |x|, more than the map's tolerance of "
            f"{tolerance:.2g}: fit in float64, or fit fewer steps"
        )
    middle = held.x.mean(0)
    far = middle + FAR * (held.x[:FAR_ROWS] - middle)
    label = None if held.label is None else held.label[:FAR_ROWS]
    try:
        back = preconditioner.inverse(preconditioner(far, label).value, label).value
    except InvalidInputError:
        return said  # outside the domain of a bounded map, and refused
    missed = _gap(back, far)
    if not missed <= FAR_FACTOR * tolerance:
        said.append(
            f"rows {FAR:g} deviations out come back with an error of {missed:.2g} of the largest "
            f"|x|, more than {FAR_FACTOR:g} times the map's tolerance of {tolerance:.2g}"
        )
    return said


def _gap(back: Tensor, x: Tensor) -> float:
    """Return the largest error relative to the largest entry."""
    gap = torch.linalg.vector_norm(back - x, ord=math.inf)
    return float(gap / torch.linalg.vector_norm(x, ord=math.inf).clamp_min(1e-30))


def _condition(moments: Moments) -> float:
    values = torch.linalg.eigvalsh(moments.covariance)
    smallest, largest = float(values[0]), float(values[-1])
    if largest <= 0:
        return 1.0  # no variance at all: nothing is better or worse conditioned
    return largest / smallest if smallest > 1e-14 * largest else math.inf
