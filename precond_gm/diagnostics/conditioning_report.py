"""Spectrum of Sigma_t at every t: the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from precond_gm.numerics.spectrum import (
    condition_number,
    effective_rank,
    noise_count,
    participation_ratio,
)
from precond_gm.values import AbstractReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ConditioningReport", "report_of"]

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
            many dimensions that the covariance was not formed. The sum is the number of
            dimensions; single ones need not be whole.
        eigenvalue_error: Bound of the relative error of the extreme eigenvalues where they were
            found by iteration; 0 elsewhere. At 1 the smallest was not found: it is at most the
            one given, and the condition number at least.
        within: The same report of the rows centred on their own label's mean, with labels; what
            is missing from its trace lies between the labels.
        between: The same report of the labels' means, weighted by their rows: the covariance of
            all rows is that within plus that between. The source counts in full. Fewer labels
            than dimensions leave directions without variance at t = 1.
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
    between: ConditioningReport | None = None
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


def report_of(t: Tensor, values: Tensor, multiplicity: Tensor, rows: int) -> ConditioningReport:
    """Return the report of one spectrum, without intervals.

    Args:
        t: Times.
        values: Eigenvalues of Sigma_t, ascending, shape ``times k``.
        multiplicity: How often each occurs, shape ``k``; whole in sum.
        rows: Rows behind the covariance.
    """
    kappa = condition_number(values)
    unknown = torch.full_like(kappa, math.nan)
    dim = round(float(multiplicity.sum()))
    so_far = multiplicity.cumsum(0).round().long()  # rounded in sum, so that none is lost
    every = values[-1].repeat_interleave(so_far.diff(prepend=so_far.new_zeros(1)))
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
