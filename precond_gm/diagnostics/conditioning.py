r"""Conditioning of Sigma_t = Cov(z_t): how long training takes, known before it starts.

At fixed t, gradient descent on the regression loss contracts mode i of the error by
``(1 - eta s_i)**k``, ``s_i`` the eigenvalues of Sigma_t. Modes with small ``s_i`` are slow *and*
nearly invisible in the loss, which looks like a plateau. The condition number says by how much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from precond_gm import couplings, paths, preconditioners
from precond_gm.diagnostics.conditioning_report import ConditioningReport, report_of
from precond_gm.diagnostics.end_moments import UNLABELLED, EndMoments
from precond_gm.diagnostics.ends import (
    Ends,
    entered,
    fitted_on_half,
    local_generator,
    raise_for_values,
)
from precond_gm.diagnostics.intervals import POOLED, Spread, condition_spread
from precond_gm.diagnostics.large import ALL_ROWS, BETWEEN, WITHIN, Large, large_spectra
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.covariance import EndCovariance
from precond_gm.numerics.moments import Moments
from precond_gm.numerics.rows import RowsLike
from precond_gm.paths.base import AbstractPath
from precond_gm.values import Batch

__all__ = ["ConditioningReport", "check_times", "conditioning", "from_moments"]

DENSE_DIM = 6000  # beyond, a covariance in float64 takes 290 MB and minutes to decompose


def conditioning(
    x: RowsLike,
    label: Tensor | None = None,
    *,
    preconditioner: Any = None,
    coupling: Any = "independent",
    path: Any = "linear",
    times: int | Tensor = 101,
    source: Tensor | None = None,
    batch_size: int = 256,
    intervals: bool = True,
    generator: torch.Generator | None = None,
) -> ConditioningReport:
    r"""Measure the conditioning of Sigma_t for every t from the data's second moments.

    .. math::
        \Sigma_t = \alpha^2 S_0 + \beta^2 S_1 + \alpha \beta (C + C^T) + \gamma^2 I

    Second moments are estimated once, in float64; every t follows by algebra. With independent
    ends and an N(0, I) source nothing but S1 is estimated, and no noise is drawn.

    Args:
        x: Data rows ``batch *event``, or an iterable of batches that can be read more than once.
        label: Integer labels; inside the batches when ``x`` is an iterable.
        preconditioner: Name, (name, options) or instance, applied first. One that is not fitted
            is fitted, in place, on a random half of the rows and the report is about the other.
        coupling: Name or instance. Other couplings than the independent one are estimated from
            one epoch of pairs; one that needs fitting and is not fitted is fitted in place.
        path: Name or instance.
        times: Number of equidistant times in [0, 1], or the times.
        source: Rows of the source law in z; None is exactly N(0, I).
        batch_size: Rows that the coupling pairs at once.
        intervals: Whether to read the data a second time for the intervals.
        generator: Source of the noise, the shuffle and the split; None is a fixed seed.

    Returns:
        The report, with one per label, within and between the labels when labels are given.

    Raises:
        InvalidInputError: NaN, a wrong label, fewer than two rows, times outside [0, 1].

    References:
        2603.02337.

    Example:
        >>> import torch
        >>> x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        ...     [10.0, 0.1]
        ... )
        >>> report = conditioning(x, path="linear", times=3)
        >>> [round(float(k)) for k in report.condition_number.log10()]
        [0, 2, 4]
    """
    generator = local_generator(generator)
    rows, the_coupling = entered(x, label), couplings.REGISTRY.resolve(coupling)
    the_path, t = paths.REGISTRY.resolve(path), check_times(times)
    the_map = None if preconditioner is None else preconditioners.REGISTRY.resolve(preconditioner)
    notes: tuple[str, ...] = ()
    if the_map is not None and not the_map.is_fitted:
        rows, label, note = fitted_on_half(the_map, rows, label, generator)
        notes = (note,)
    if the_coupling.needs_fit:
        in_z = [Batch(pair.z1, pair.label) for pair in Ends(rows, label, the_map)]
        the_coupling.fit(in_z, generator=generator)
    ends = Ends(rows, label, the_map, the_coupling, source, batch_size, generator)
    if ends.dim > DENSE_DIM:
        raise_for_values(rows, ends)
        return _large_report(large_spectra(ends), the_path, t, notes)
    moments = EndMoments.of(ends)
    if not moments.is_finite:
        raise_for_values(rows, ends)
    c = the_path.coefficients(t.to(moments.device))
    spread = condition_spread(ends, moments, c) if intervals else {}
    return from_moments(moments, the_path, t, spread=spread, notes=notes)


def from_moments(
    moments: EndMoments,
    path: AbstractPath,
    t: Tensor,
    *,
    spread: Mapping[int, Spread] | None = None,
    notes: tuple[str, ...] = (),
) -> ConditioningReport:
    """Return the report of moments gathered elsewhere: in parts, or over several processes.

    Args:
        moments: Moments of the two ends, per label.
        path: The path.
        t: Times in [0, 1], shape ``times``.
        spread: What the rows say about each group's condition number, for intervals.
        notes: Passed on to the report.
    """
    parts = {label: moments.rows_of(label) for label in moments.halves}
    first, *rest = parts.values()
    pooled = first.merge(*rest)
    if pooled.count < 2:
        raise InvalidInputError(
            f"a covariance takes at least 2 rows; got {pooled.count}. Give more rows."
        )
    spread = spread or {}
    rows = {label: part for label, part in parts.items() if label != UNLABELLED}
    single = [label for label, part in rows.items() if part.count < 2]
    if single:
        notes = (*notes, f"no covariance within the labels {single}: they have one row each.")
    per_label = {
        label: _report(moments.covariance(part), part.count, path, t, spread.get(label))
        for label, part in rows.items()
        if label not in single
    }
    count = pooled.count
    whole = _report(moments.covariance(pooled), count, path, t, spread.get(POOLED))
    if not rows:
        return replace(whole, notes=notes)
    within = _report(moments.covariance(Moments.within(rows.values())), count, path, t)
    between = _report(moments.between, count, path, t)
    return replace(whole, per_label=per_label, within=within, between=between, notes=notes)


def check_times(times: int | Tensor) -> Tensor:
    """Return times in float64: as given, or ``times`` equidistant ones.

    Raises:
        InvalidInputError: Fewer than two times asked for, or times outside [0, 1].
    """
    if not isinstance(times, Tensor):
        if times < 2:
            raise InvalidInputError(f"times is a number of at least 2 or a tensor; got {times}.")
        return torch.linspace(0, 1, times, dtype=torch.float64)
    t = times.detach().to("cpu", torch.float64)
    if t.ndim != 1 or not t.numel() or not bool(((t >= 0) & (t <= 1)).all()):
        raise InvalidInputError(
            f"times is a one-dimensional tensor within [0, 1], t = 0 noise and t = 1 data; "
            f"got shape {tuple(t.shape)}, values {t.flatten()[:3].tolist()} ..."
        )
    return t


def _report(
    covariance: EndCovariance,
    rows: int,
    path: AbstractPath,
    t: Tensor,
    spread: Spread | None = None,
) -> ConditioningReport:
    values = covariance.spectrum(path.coefficients(t.to(covariance.data.device))).cpu()
    report = report_of(t, values, torch.ones_like(values[0]), rows)
    if spread is None:
        return report
    low, high = spread.interval(report.condition_number)
    return replace(report, condition_low=low, condition_high=high)


def _large_report(
    found: Large, path: AbstractPath, t: Tensor, notes: tuple[str, ...]
) -> ConditioningReport:
    c = path.coefficients(t)
    base, slope = (c.alpha**2 + c.variance)[:, None], c.beta[:, None] ** 2
    reports = {
        label: report_of(t, base + slope * spectrum.values.cpu(), spectrum.multiplicity.cpu(), rows)
        for label, (spectrum, rows) in found.parts.items()
    }
    whole = reports.pop(ALL_ROWS)
    return replace(
        whole,
        within=reports.pop(WITHIN, None),
        between=reports.pop(BETWEEN, None),
        per_label=reports,
        eigenvalue_error=found.parts[ALL_ROWS][0].error,
        notes=(*notes, *found.notes),
    )
