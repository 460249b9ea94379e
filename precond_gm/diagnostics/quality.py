"""How near generated rows are to data: many distances, each with an interval and a noise floor.

A distance between two finite sets is never zero, so each figure stands beside the same figure for
data against data, at the same number of rows. The data are split in three: one part chooses
directions, features and classifiers and is never judged; the two others are compared with the
samples, and with each other for the floor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from precond_gm.diagnostics.ends import local_generator
from precond_gm.diagnostics.quality_metrics import FIGURES, PER_LABEL, Context, Metric, why_not
from precond_gm.diagnostics.split import LEAST_ROWS, split_rows
from precond_gm.errors import InvalidInputError, UnknownNameError
from precond_gm.numerics.recovery import Recovery, recovery
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
        dropped: Labels of the data that no sample has; None unless both sides have labels.
    """

    metrics: dict[str, Metric]
    recovery: Recovery | None
    per_label: dict[int, QualityReport]
    num_rows: int
    notes: tuple[str, ...] = ()
    dropped: tuple[int, ...] | None = None

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
        if self.dropped is not None:
            flat["dropped_labels"] = float(len(self.dropped))
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
            in place of a third of ``data``, and allow the figure ``copying``; at least 8.
        reference_label: Labels of the reference.
        metrics: Which of energy_distance, sliced_w2, w2, mmd, recovery, neighbours (precision,
            recall, density, coverage), frechet, c2st, label_accuracy, copying; None is all that
            labels, reference and data allow.
        features: Extractor for the Frechet distance: rows ``batch *event`` in float32 to features.
            None trains a small network on the data set aside; nothing is downloaded.
        max_rows: Most rows per block; time grows with its square.
        assigned_rows: Most rows per block for the exact w2, whose time is cubic: some 20
            assignments of 40 ms each at 512 rows, of 2 s each at 2,048.
        generator: Source of the shuffle and the projections; None is a fixed seed.

    Raises:
        InvalidInputError: NaN, another event shape, too few rows, or a figure asked for by name
            without what it needs (labels, a reference, data that vary).
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
    _check_rows(sets)
    report = _report(sets, names, features, limits, generator, asked=metrics is not None)
    per_label, left_out, notes = {}, [], list(report.notes)
    for label in sets.labels():
        part = sets.only(label)
        if part.is_enough:
            chosen = [name for name in names if name in PER_LABEL]
            per_label[label] = _report(part, chosen, None, limits, generator, asked=False)
            notes += [f"label {label}: {note}" for note in per_label[label].notes]
        elif part.samples.x.shape[0]:
            left_out.append(label)
    if left_out:
        notes.append(f"too few rows for a report of the labels {left_out}.")
    dropped = sets.dropped()
    if dropped:
        notes.append(f"no sample has the labels {list(dropped)}, which the data have.")
    if sets.unknown():
        notes.append(f"no data row has the labels {sets.unknown()}, which samples have.")
    return replace(report, per_label=per_label, notes=tuple(notes), dropped=dropped)


@dataclass(frozen=True)
class _Sets:
    """Samples, data, and the training rows where they are given."""

    samples: Batch
    data: Batch
    reference: Batch | None

    def labels(self) -> list[int]:
        """Return the labels of the data, where the samples have labels too."""
        if self.samples.label is None or self.data.label is None:
            return []
        return sorted(set(self.data.label.tolist()))

    def dropped(self) -> tuple[int, ...] | None:
        """Return the labels of the data that no sample has; None unless both have labels."""
        if self.samples.label is None or self.data.label is None:
            return None
        return tuple(sorted(set(self.labels()) - set(self.samples.label.tolist())))

    def unknown(self) -> list[int]:
        """Return the labels of samples that no data row has."""
        if self.samples.label is None or self.data.label is None:
            return []
        return sorted(set(self.samples.label.tolist()) - set(self.labels()))

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


def _check_rows(sets: _Sets) -> None:
    """Check that all sets hold rows of one shape, and that the reference is a set at all."""
    shape = tuple(sets.data.x.shape[1:])
    check_rows(sets.samples.x, name="samples", event_shape=shape)
    if sets.reference is not None:
        check_rows(sets.reference.x, name="reference", event_shape=shape)
        if sets.reference.x.shape[0] < LEAST_ROWS:
            raise InvalidInputError(
                f"the reference chooses directions, features and classifiers, which takes at "
                f"least {LEAST_ROWS} rows; got {sets.reference.x.shape[0]}. Give more of the "
                f"training rows, or leave the reference out."
            )


def _report(
    sets: _Sets,
    names: Sequence[str],
    features: Callable[[Tensor], Tensor] | None,
    limits: tuple[int, int],
    generator: torch.Generator,
    *,
    asked: bool,
) -> QualityReport:
    """Return one report; a figure that lacks something is refused if it was asked for by name."""
    max_rows, assigned_rows = limits
    split = split_rows(
        sets.samples, sets.data, sets.reference, max_rows=max_rows, generator=generator
    )
    shape = tuple(sets.data.x.shape[1:])
    context = Context(split, features, shape, sets.reference is not None, generator, assigned_rows)
    found: dict[str, Metric] = {}
    notes: tuple[str, ...] = ()
    for name in names:
        reason = why_not(name, context)
        if reason is None:
            found |= FIGURES[name](context)
        elif asked:
            raise InvalidInputError(
                f"the figure {name!r} takes {reason}, or leave it out of metrics."
            )
        elif name == "recovery":  # the others are known to need more than rows
            notes = (f"the figure {name!r} is left out: it takes {reason}.",)
    per_direction = None
    if "low_recovery" in found:
        made = torch.cat([block.rows for block in split.samples])
        data_a, data_b = (block.rows for block in split.data)
        per_direction = recovery(made, data_a, data_b, context.directions)
    return QualityReport(found, per_direction, {}, split.rows, notes)


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
