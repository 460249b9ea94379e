"""What a fitted map does to rows: their conditioning, before and after, and a look at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from precond_gm.diagnostics.conditioning import conditioning
from precond_gm.diagnostics.conditioning_report import ConditioningReport
from precond_gm.numerics.recovery import directions
from precond_gm.numerics.rows import check_label, check_rows, flatten
from precond_gm.preconditioners.base import AbstractPreconditioner
from precond_gm.values import AbstractReport, Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EffectReport", "effect"]

SHOWN_ROWS = 1500  # of the scatter: more hide each other


@dataclass(frozen=True)
class EffectReport(AbstractReport):
    """Rows before and after a map.

    Attributes:
        name: Class of the map.
        group: Which rows the figures are about: the worst label that has rows enough, else all
            rows centred within their labels.
        before: Conditioning of these rows, at every t.
        after: The same of their image.
        rows_before: These rows along the directions of their largest and smallest variance, shape
            ``rows 2``.
        rows_after: The same of the image, along its own directions.
    """

    name: str
    group: str
    before: ConditioningReport
    after: ConditioningReport
    rows_before: Tensor
    rows_after: Tensor

    def as_metrics(self) -> dict[str, float]:
        """Return the largest condition numbers over t."""
        return {"effect/before": self.before.worst, "effect/after": self.after.worst}

    def plot(self) -> Figure:
        """Draw condition number against t, spectra, and the rows along their extreme directions."""
        from precond_gm.plotting.fit import plot_effect

        few = "" if self.before.is_reliable else " (few: noise alone spreads equal variances)"
        rows = f"{self.before.num_samples:,} rows no fit has seen{few}"
        return plot_effect(
            f"{self.name}, {self.group}, {rows}",
            self.before.t,
            (self.before.condition_number, self.after.condition_number),
            (_spectrum(self.before), _spectrum(self.after)),
            (self.rows_before, self.rows_after),
        )


def effect(
    preconditioner: AbstractPreconditioner,
    x: Tensor,
    label: Tensor | None = None,
    *,
    times: int = 101,
) -> EffectReport:
    """Measure the conditioning of rows and of their image under a fitted map.

    Args:
        preconditioner: A fitted map.
        x: Rows that it was not fitted to, ``batch *event``.
        label: Their labels.
        times: Number of equidistant times in [0, 1].

    Example:
        >>> import torch
        >>> from precond_gm.preconditioners import Whiten
        >>> x = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
        >>> x = x * torch.tensor([10.0, 0.1])
        >>> part = Whiten()
        >>> _ = part.fit(x[:2000])
        >>> report = effect(part, x[2000:])
        >>> report.before.worst > 1000, report.after.worst < 1.5
        (True, True)
    """
    check_rows(x)
    check_label(label, x.shape[0])
    with torch.no_grad():
        z = preconditioner(x, label).value
    before = conditioning(x, label, times=times, intervals=False)
    after = conditioning(z, label, times=times, intervals=False)
    enough = [k for k, report in before.per_label.items() if report.is_reliable]
    if enough:
        worst = max(enough, key=lambda k: before.per_label[k].worst)
        reports = before.per_label[worst], after.per_label[worst]
        group = f"label {worst}"
    elif before.within is not None and after.within is not None:
        worst, reports, group = None, (before.within, after.within), "all rows within their labels"
    else:
        worst, reports, group = None, (before, after), "all rows"
    return EffectReport(
        type(preconditioner).__name__,
        group,
        *reports,
        _extremes(Batch(x, label), worst),
        _extremes(Batch(z, label), worst),
    )


def _extremes(rows: Batch, label: int | None) -> Tensor:
    """Return rows, centred within labels, along directions of largest and smallest variance."""
    flat = flatten(rows.x).double()
    if label is not None and rows.label is not None:
        flat = flat[rows.label == label]
    elif rows.label is not None:
        one_hot = torch.nn.functional.one_hot(rows.label).to(flat)
        means = (one_hot.T @ flat) / one_hot.sum(0).clamp_min(1)[:, None]
        flat = flat - means[rows.label]
    basis = directions(flat)
    return (flat - flat.mean(0))[:SHOWN_ROWS] @ basis[[-1, 0]].T


def _spectrum(report: ConditioningReport) -> Tensor:
    """Return the eigenvalues at t = 1, descending, each as often as it occurs."""
    return report.eigenvalues[-1].repeat_interleave(report.multiplicity.long()).flip(0)
