"""The table of a report: which measures, in which words, and who wins what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from precond_gm.report.intervals import Finding, Interval, compare, summarise

__all__ = [
    "CONDITION",
    "MEASURES",
    "QUALITY",
    "Cell",
    "Measure",
    "Row",
    "Table",
    "measures_for",
    "table_of",
]

Values = Mapping[str, Mapping[int, Mapping[str, float]]]
"""Metrics by variant, then seed."""


@dataclass(frozen=True)
class Measure:
    """One line of the table; smaller is better for all of them.

    Attributes:
        key: Name of the metric.
        title: In words.
        note: What it means, in a sentence.
        group: Heading it stands under.
        floor: Metric that holds the value of real rows against real rows, if there is one.
        as_ratio: Whether two variants are compared by ratio.
        is_judged: Whether the verdict speaks of it; costs are only listed.
        steps: Number of solver steps, where the measure exists for several.
    """

    key: str
    title: str
    note: str
    group: str
    floor: str | None = None
    as_ratio: bool = True
    is_judged: bool = True
    steps: int | None = None


CONDITION, QUALITY, COST = "Conditioning", "Quality of samples", "Cost"

MEASURES: tuple[Measure, ...] = (
    Measure(
        "conditioning/pooled_max",
        "condition number, all rows",
        "Largest over t of the condition number of Cov(z_t), training rows.",
        CONDITION,
    ),
    Measure(
        "conditioning/label_max",
        "condition number, worst label",
        "The same within the class where it is largest: that class sets the pace. Classes with "
        "fewer rows than features are left out.",
        CONDITION,
    ),
    Measure(
        "recovery/low",
        "variance error in small directions",
        "Typical factor between generated and real variance over the quarter of directions in "
        "which the data vary least; 1 is perfect.",
        QUALITY,
        floor="floor/recovery_low",
    ),
    Measure(
        "recovery/all",
        "variance error in all directions",
        "The same factor over all directions of the data.",
        QUALITY,
        floor="floor/recovery_all",
    ),
    Measure(
        "quality/energy",
        "energy distance",
        "To held-out rows, at the largest number of solver steps.",
        QUALITY,
        floor="floor/energy",
        as_ratio=False,
    ),
    Measure(
        "quality/bits_kl",
        "KL to held-out bits",
        "Of the histogram of samples as bits, in nats, where all states can be counted.",
        QUALITY,
        floor="floor/bits_kl",
    ),
    Measure(
        "quality/pair_error",
        "error of pair moments of bits",
        "Root mean square over pairs of bits, as signs.",
        QUALITY,
        floor="floor/pair_error",
    ),
    Measure(
        "quality/bits_c2st",
        "bits told from real ones",
        "Share of rows that a classifier tells right; 1/2 is chance.",
        QUALITY,
        floor="floor/bits_c2st",
        as_ratio=False,
    ),
)

COSTS: tuple[Measure, ...] = (
    Measure("fit/seconds", "fitting the map (s)", "Wall time.", COST, is_judged=False),
    Measure("training/seconds", "training (s)", "Wall time.", COST, is_judged=False),
    Measure("parameters/map", "parameters of the map", "Trained ones.", COST, is_judged=False),
    Measure(
        "parameters/network", "parameters of the network", "Trained ones.", COST, is_judged=False
    ),
)


def measures_for(sample_steps: Sequence[int]) -> tuple[Measure, ...]:
    """Return all measures, with one distance for every number of solver steps."""
    distances = tuple(
        Measure(
            f"quality/w2_{steps}",
            f"sliced W2, {steps} steps",
            f"To held-out rows, sampled with {steps} steps of the solver.",
            QUALITY,
            floor="floor/w2",
            steps=steps,
        )
        for steps in sample_steps
    )
    return (*MEASURES, *distances, *COSTS)


@dataclass(frozen=True)
class Cell:
    """A variant's value of a measure.

    Attributes:
        value: Mean and interval over seeds, or None where the measure does not apply.
        change: Against the baseline: ratio or difference, with its interval.
        finding: What may be said of the change; None for the baseline.
    """

    value: Interval | None
    change: Interval | None = None
    finding: Finding | None = None


@dataclass(frozen=True)
class Row:
    """A measure with the cells of all variants, in order.

    Attributes:
        measure: What is measured.
        cells: By variant.
        floor: The value of real rows against real rows.
    """

    measure: Measure
    cells: tuple[Cell, ...]
    floor: float | None = None


@dataclass(frozen=True)
class Table:
    """All measures of all variants.

    Attributes:
        variants: Names; the first one is the baseline.
        rows: Measures that at least one run has.
        seeds: Number of seeds that every variant has.
    """

    variants: tuple[str, ...]
    rows: tuple[Row, ...]
    seeds: int

    @property
    def baseline(self) -> str:
        """The variant that the others are compared with."""
        return self.variants[0]


def table_of(values: Values, sample_steps: Sequence[int], baseline: str | None = None) -> Table:
    """Build the table; the baseline is ``identity`` if it is there, else the first variant.

    Only seeds that both variants have are compared.
    """
    names = list(values)
    first = baseline or ("identity" if "identity" in names else names[0])
    names = [first, *(name for name in names if name != first)]
    rows = []
    for measure in measures_for(sample_steps):
        if any(_has(metrics, measure.key) for runs in values.values() for metrics in runs.values()):
            cells = tuple(_cell(values, name, first, measure) for name in names)
            rows.append(Row(measure, cells, _floor(values, measure)))
    seeds = min(len(runs) for runs in values.values())
    return Table(tuple(names), tuple(rows), seeds)


def values_of(results: Sequence[Any]) -> dict[str, dict[int, Mapping[str, float]]]:
    """Return the metrics of run results by variant and seed."""
    values: dict[str, dict[int, Mapping[str, float]]] = {}
    for result in results:
        values.setdefault(result.variant, {})[result.seed] = result.metrics
    return values


def _cell(values: Values, name: str, baseline: str, measure: Measure) -> Cell:
    own = _by_seed(values[name], measure.key)
    if not own:
        return Cell(None)
    value = summarise(list(own.values()), geometric=measure.as_ratio and measure.is_judged)
    if name == baseline or not measure.is_judged:
        return Cell(value)
    other = _by_seed(values[baseline], measure.key)
    shared = [seed for seed in own if seed in other]
    if not shared:
        return Cell(value)
    change, finding = compare(
        [own[s] for s in shared], [other[s] for s in shared], as_ratio=measure.as_ratio
    )
    return Cell(value, change, None if change.count < 2 else finding)


def _by_seed(runs: Mapping[int, Mapping[str, float]], key: str) -> dict[int, float]:
    """Return the finite values; an infinite condition number is not a number to average."""
    found = {seed: float(metrics[key]) for seed, metrics in runs.items() if _has(metrics, key)}
    return dict(sorted(found.items()))


def _has(metrics: Mapping[str, float], key: str) -> bool:
    value = metrics.get(key)
    return value is not None and math.isfinite(float(value))


def _floor(values: Values, measure: Measure) -> float | None:
    if measure.floor is None:
        return None
    found = [
        float(metrics[measure.floor])
        for runs in values.values()
        for metrics in runs.values()
        if _has(metrics, measure.floor)
    ]
    return sum(found) / len(found) if found else None
