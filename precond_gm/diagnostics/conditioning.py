r"""Conditioning of Sigma_t = Cov(z_t): how long training takes, known before it starts.

At fixed t, gradient descent on the regression loss contracts mode i of the error by
``(1 - eta s_i)**k``, ``s_i`` the eigenvalues of Sigma_t. Modes with small ``s_i`` are slow *and*
nearly invisible in the loss, which looks like a plateau. The condition number says by how much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from precond_gm import couplings, paths, preconditioners
from precond_gm.diagnostics.end_moments import EndMoments
from precond_gm.diagnostics.ends import (
    Ends,
    entered,
    fitted_on_half,
    local_generator,
    raise_for_values,
)
from precond_gm.diagnostics.intervals import POOLED, Spread, condition_spread
from precond_gm.diagnostics.large import ALL_ROWS, WITHIN, Large, large_spectra
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.moments import Moments
from precond_gm.numerics.rows import RowsLike
from precond_gm.numerics.spectrum import (
    condition_number,
    effective_rank,
    noise_count,
    participation_ratio,
)
from precond_gm.paths.base import AbstractPath
from precond_gm.values import AbstractReport, Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ConditioningReport", "check_times", "conditioning", "from_moments"]

DENSE_DIM = 6000  # beyond, a covariance in float64 takes 290 MB and minutes to decompose
ROWS_PER_DIMENSION = 10  # the smallest eigenvalue is then too small by about dim / rows = 10 %


@dataclass(frozen=True)
class ConditioningReport(AbstractReport):
    """Spectrum of Sigma_t at every t, for all rows and for each label.

    Attributes:
        t: Times, shape ``times``.
        eigenvalues: Of Sigma_t, ascending, shape ``times k``.
        condition_number: Largest over smallest eigenvalue, shape ``times``; infinite where rows
            or features leave a direction without variance.
        effective_rank: ``exp`` of the spectrum's entropy, shape ``times``.
        participation_ratio: ``trace**2 / sum of squares``, shape ``times``.
        per_label: The same report within each label that has two rows or more.
        num_samples: Rows behind the covariance.
        is_reliable: Whether there are ten rows per dimension; with fewer, small eigenvalues are
            too small by more than about a tenth, and the condition number too large.
        condition_low: Lower end of the condition number's 95 % interval, shape ``times``.
        condition_high: Upper end; NaN, as the lower end, where no interval was asked for.
        noise_count: How many of the smallest eigenvalues at t = 1 spread no further than sampling
            alone makes equal variances spread: their order and directions mean nothing.
        multiplicity: How often each eigenvalue occurs, shape ``k``: all ones, unless there are so
            many dimensions that the covariance was not formed.
        eigenvalue_error: Bound of the relative error of the extreme eigenvalues where they were
            found by iteration; 0 elsewhere.
        within: The same report of the rows centred on their own label's mean, with labels; what
            is missing from its trace lies between the labels.
        notes: What the reader should know.
    """

    t: Tensor
    eigenvalues: Tensor
    condition_number: Tensor
    effective_rank: Tensor
    participation_ratio: Tensor
    per_label: dict[int, ConditioningReport]
    num_samples: int
    is_reliable: bool
    condition_low: Tensor
    condition_high: Tensor
    multiplicity: Tensor
    noise_count: int = 0
    eigenvalue_error: float = 0.0
    within: ConditioningReport | None = None
    notes: tuple[str, ...] = ()

    @property
    def worst(self) -> float:
        """Largest condition number over t."""
        return float(self.condition_number.max())

    @property
    def worst_label(self) -> int | None:
        """Label with the largest condition number: it sets the tail, averaging does not help."""
        if not self.per_label:
            return None
        return max(self.per_label, key=lambda label: self.per_label[label].worst)

    def as_metrics(self) -> dict[str, float]:
        """Return the figures under ``conditioning/...``; an infinite one is left out."""
        metrics = _metrics(self)
        if self.worst_label is not None:
            metrics["worst_label/label"] = float(self.worst_label)
            metrics["worst_label/condition_number"] = self.per_label[self.worst_label].worst
        for label, report in self.per_label.items():
            metrics |= {f"label_{label}/{name}": v for name, v in _metrics(report).items()}
        return {f"conditioning/{name}": v for name, v in metrics.items() if math.isfinite(v)}

    def plot(self) -> Figure:
        """Draw condition number against t, the spectra, and effective rank against t."""
        from precond_gm.plotting.conditioning import plot_conditioning

        return plot_conditioning(
            t=self.t,
            eigenvalues=self.eigenvalues,
            condition_number=self.condition_number,
            effective_rank=self.effective_rank,
            interval=(self.condition_low, self.condition_high),
            per_label={label: r.condition_number for label, r in self.per_label.items()},
            noise_count=self.noise_count,
        )


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
    r"""Measure the conditioning of Sigma_t for every t from one pass over the data.

    .. math::
        \Sigma_t = \alpha^2 S_0 + \beta^2 S_1 + \alpha \beta (C + C^T) + \gamma^2 I

    Everything is estimated once, in float64; every t follows by algebra. Without noise in the
    estimate: with independent ends and an N(0, I) source nothing but S1 is estimated.

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
        The report, with one per label when labels are given.

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
    pooled = moments.pooled[0].merge(moments.pooled[1])
    if pooled.count < 2:
        raise InvalidInputError(
            f"a covariance takes at least 2 rows; got {pooled.count}. Give more rows."
        )
    spread = spread or {}
    rows = {label: moments.rows_of(label) for label in moments.halves if label >= 0}
    single = [label for label, part in rows.items() if part.count < 2]
    if single:
        notes = (*notes, f"no covariance within the labels {single}: they have one row each.")
    per_label = {
        label: _report(moments, part, path, t, spread.get(label))
        for label, part in rows.items()
        if label not in single
    }
    whole = _report(moments, pooled, path, t, spread.get(POOLED))
    if not rows:
        return replace(whole, notes=notes)
    within = _report(moments, moments.within, path, t, None)
    return replace(whole, per_label=per_label, within=within, notes=notes)


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
    moments: EndMoments, rows: Moments, path: AbstractPath, t: Tensor, spread: Spread | None
) -> ConditioningReport:
    covariance = moments.covariance(rows)
    values = covariance.spectrum(path.coefficients(t.to(rows.mean.device))).cpu()
    report = _of_spectrum(t, values, torch.ones_like(values[0]), rows.count)
    if spread is None:
        return report
    low, high = spread.interval(report.condition_number)
    return replace(report, condition_low=low, condition_high=high)


def _of_spectrum(t: Tensor, values: Tensor, multiplicity: Tensor, rows: int) -> ConditioningReport:
    kappa = condition_number(values)
    unknown = torch.full_like(kappa, math.nan)
    dim = round(float(multiplicity.sum()))
    every = values[-1].repeat_interleave(multiplicity.round().long().clamp_min(1))
    return ConditioningReport(
        t=t,
        eigenvalues=values,
        multiplicity=multiplicity,
        condition_number=kappa,
        condition_low=unknown,
        condition_high=unknown,
        effective_rank=effective_rank(values, multiplicity),
        participation_ratio=participation_ratio(values, multiplicity),
        per_label={},
        num_samples=rows,
        is_reliable=rows >= ROWS_PER_DIMENSION * dim,
        noise_count=noise_count(every, rows),
    )


def _large_report(
    found: Large, path: AbstractPath, t: Tensor, notes: tuple[str, ...]
) -> ConditioningReport:
    c = path.coefficients(t)
    base, slope = (c.alpha**2 + c.variance)[:, None], c.beta[:, None] ** 2
    reports = {
        label: _of_spectrum(
            t, base + slope * spectrum.values.cpu(), spectrum.multiplicity.cpu(), rows
        )
        for label, (spectrum, rows) in found.items()
        if rows > 1
    }
    whole, error = reports.pop(ALL_ROWS), found[ALL_ROWS][0].error
    way = "from the inner products of the rows"
    if error:
        way = f"by Lanczos; its two ends have a relative error of at most {error:.1g}"
    notes = (*notes, f"the covariance was not formed: the spectrum was found {way}.")
    return replace(
        whole,
        within=reports.pop(WITHIN, None),
        per_label=reports,
        eigenvalue_error=error,
        notes=notes,
    )


def _metrics(report: ConditioningReport) -> dict[str, float]:
    worst = int(report.condition_number.argmax())
    return {
        "condition_number/max": float(report.condition_number[worst]),
        "condition_number/low": float(report.condition_low[worst]),
        "condition_number/high": float(report.condition_high[worst]),
        "condition_number/t_of_max": float(report.t[worst]),
        "condition_number/mean_log10": float(report.condition_number.log10().mean()),
        "is_finite": float(torch.isfinite(report.condition_number).all()),
        "effective_rank/min": float(report.effective_rank.min()),
        "participation_ratio/min": float(report.participation_ratio.min()),
        "noise_count": float(report.noise_count),
        "is_reliable": float(report.is_reliable),
        "num_samples": float(report.num_samples),
    }
