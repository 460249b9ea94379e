"""How near generated rows are to data: many distances, each with an interval and a noise floor.

A distance between two finite sets is never zero, so each figure stands beside the same figure for
data against data, at the same number of rows. The data are split in three: one part chooses
directions, features and classifiers and is never judged; the two others are compared with the
samples, and with each other for the floor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from precond_gm.diagnostics.ends import local_generator
from precond_gm.diagnostics.quality_metrics import FIGURES, PER_LABEL, Context, Metric
from precond_gm.diagnostics.split import LEAST_ROWS, split_rows
from precond_gm.errors import UnknownNameError
from precond_gm.numerics.recovery import Recovery, directions, recovery
from precond_gm.numerics.rows import RowsLike, check_label, check_rows, collect
from precond_gm.values import AbstractReport, Batch, Samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Metric", "QualityReport", "quality"]


@dataclass(frozen=True)
class QualityReport(AbstractReport):
    """Figures of generated rows against data.

    Attributes:
        metrics: Figures by name, each with interval and noise floor.
        recovery: Variance ratio per eigen-direction of the data covariance; the figures
            ``low_recovery`` and ``low_recovery_error`` sum up its lowest quarter. None when it
            was not asked for.
        per_label: The same report for each label, when both sides have labels.
        num_rows: Rows per block: every figure and its floor compare this many with this many.
        notes: What the reader should know.
    """

    metrics: dict[str, Metric]
    recovery: Recovery | None
    per_label: dict[int, QualityReport]
    num_rows: int
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Metric:
        """Return the figure ``name``.

        Raises:
            UnknownNameError: It was not computed.
        """
        if name not in self.metrics:
            raise UnknownNameError(
                f"the report has no figure {name!r}; it has {', '.join(self.metrics)}."
            )
        return self.metrics[name]

    def as_metrics(self) -> dict[str, float]:
        """Return the figures under ``quality/...``: value, ends of the interval, floor."""
        flat = _flat(self)
        for label, report in self.per_label.items():
            flat |= {f"label_{label}/{name}": value for name, value in _flat(report).items()}
        return {f"quality/{name}": value for name, value in flat.items() if math.isfinite(value)}

    def plot(self) -> Figure:
        """Draw every figure relative to its floor, and the recovery per direction."""
        from precond_gm.plotting.quality import plot_quality

        figures = {m: (v.value, v.low, v.high, v.floor) for m, v in self.metrics.items()}
        if self.recovery is None:
            return plot_quality(figures)
        r = self.recovery
        return plot_quality(figures, (r.eigenvalue, r.ratio, r.low, r.high, r.floor))


def quality(
    samples: RowsLike | Samples,
    data: RowsLike,
    *,
    sample_label: Tensor | None = None,
    data_label: Tensor | None = None,
    reference: RowsLike | None = None,
    reference_label: Tensor | None = None,
    metrics: Sequence[str] | None = None,
    features: Callable[[Tensor], Tensor] | None = None,
    max_rows: int = 1024,
    assigned_rows: int = 512,
    generator: torch.Generator | None = None,
) -> QualityReport:
    """Compare generated rows with data.

    Args:
        samples: Generated rows ``batch *event``, or what ``flow.sample`` returned.
        data: Data rows; best held out from training.
        sample_label: Labels of the samples.
        data_label: Labels of the data; with both, each label is reported too.
        reference: Rows the model was trained on: they choose directions, features and classifiers
            in place of a third of ``data``, and allow the figure ``copying``.
        reference_label: Labels of the reference.
        metrics: Which of energy_distance, sliced_w2, w2, mmd, recovery, neighbours (precision,
            recall, density, coverage), frechet, c2st, label_accuracy, copying; None is all.
        features: Extractor for the Frechet distance: rows ``batch *event`` in float32 to features.
            None trains a small network on the data set aside; nothing is downloaded.
        max_rows: Most rows per block; time grows with its square.
        assigned_rows: Most rows per block for the exact w2, whose time is cubic: some 20
            assignments of 40 ms each at 512 rows, of 2 s each at 2,048.
        generator: Source of the shuffle and the projections; None is a fixed seed.

    Raises:
        InvalidInputError: NaN, another event shape, too few rows.
        UnknownNameError: No figure has that name.

    Example:
        >>> import torch
        >>> g = torch.Generator().manual_seed(0)
        >>> data = torch.randn(600, 2, generator=g)
        >>> good, bad = torch.randn(300, 2, generator=g), 2 * torch.randn(300, 2, generator=g)
        >>> quality(good, data, metrics=["energy_distance"])["energy_distance"].differs
        False
        >>> quality(bad, data, metrics=["energy_distance"])["energy_distance"].differs
        True
    """
    generator = local_generator(generator)
    names = tuple(FIGURES) if metrics is None else tuple(metrics)
    for name in names:
        if name not in FIGURES:
            raise UnknownNameError(f"no figure is called {name!r}. Names: {', '.join(FIGURES)}.")
    real = _entered(data, data_label, "data")
    device = real.x.device
    known = None
    if reference is not None:
        known = _entered(reference, reference_label, "reference", device)
    sets = _Sets(_entered(samples, sample_label, "samples", device), real, known)
    limits = (max_rows, assigned_rows)
    report = _report(sets, names, features, limits, generator)
    per_label, left_out = {}, []
    for label in sets.labels():
        part = sets.only(label)
        if part.is_enough:
            chosen = [name for name in names if name in PER_LABEL]
            per_label[label] = _report(part, chosen, None, limits, generator)
        else:
            left_out.append(label)
    notes = (f"too few rows for a report of the labels {left_out}.",) if left_out else ()
    return QualityReport(report.metrics, report.recovery, per_label, report.num_rows, notes)


@dataclass(frozen=True)
class _Sets:
    """Samples, data, and the training rows where they are given."""

    samples: Batch
    data: Batch
    reference: Batch | None

    def __post_init__(self) -> None:
        shape = tuple(self.data.x.shape[1:])
        check_rows(self.samples.x, name="samples", event_shape=shape)
        if self.reference is not None:
            check_rows(self.reference.x, name="reference", event_shape=shape)

    def labels(self) -> list[int]:
        """Return the labels of the data, where the samples have labels too."""
        if self.samples.label is None or self.data.label is None:
            return []
        return sorted(set(self.data.label.tolist()))

    def only(self, label: int) -> _Sets:
        """Return the rows of one label; a reference without labels is left out."""
        known = self.reference
        return _Sets(
            _only(self.samples, label),
            _only(self.data, label),
            None if known is None or known.label is None else _only(known, label),
        )

    @property
    def is_enough(self) -> bool:
        """Whether there are rows for two blocks of data and the part set aside."""
        parts = 3 if self.reference is None else 2
        rows = (self.samples.x.shape[0], self.data.x.shape[0] // parts)
        aside = LEAST_ROWS if self.reference is None else self.reference.x.shape[0]
        return min(*rows, aside) >= LEAST_ROWS


def _report(
    sets: _Sets,
    names: Sequence[str],
    features: Callable[[Tensor], Tensor] | None,
    limits: tuple[int, int],
    generator: torch.Generator,
) -> QualityReport:
    max_rows, assigned_rows = limits
    split = split_rows(
        sets.samples, sets.data, sets.reference, max_rows=max_rows, generator=generator
    )
    shape = tuple(sets.data.x.shape[1:])
    context = Context(split, features, shape, sets.reference is not None, generator, assigned_rows)
    found: dict[str, Metric] = {}
    for name in names:
        found |= FIGURES[name](context)
    per_direction = None
    if "recovery" in names:
        made = torch.cat([block.rows for block in split.samples])
        data_a, data_b = (block.rows for block in split.data)
        per_direction = recovery(made, data_a, data_b, directions(split.aside.rows))
    return QualityReport(found, per_direction, {}, split.rows)


def _entered(
    x: RowsLike | Samples, label: Tensor | None, name: str, device: torch.device | None = None
) -> Batch:
    """Gather one set of rows, check it, and move it to where the data are."""
    if isinstance(x, Samples):
        batch = Batch(x.x, x.label if label is None else label)
    else:
        batch = collect(x, label)
    check_rows(batch.x, name=name)
    check_label(batch.label, batch.x.shape[0], name=f"{name}_label")
    label = None if batch.label is None else batch.label.to(device or batch.x.device)
    return Batch(batch.x.to(device or batch.x.device), label)


def _only(batch: Batch, label: int) -> Batch:
    if batch.label is None:
        return batch
    return Batch(batch.x[batch.label == label], batch.label[batch.label == label])


def _flat(report: QualityReport) -> dict[str, float]:
    flat = {"num_rows": float(report.num_rows)}
    for name, metric in report.metrics.items():
        flat[name] = metric.value
        flat |= {f"{name}/{end}": getattr(metric, end) for end in ("low", "high", "floor")}
    return flat
