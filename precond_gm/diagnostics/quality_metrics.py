"""The figures of a quality report, by name; each gives values, intervals and floors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from precond_gm.diagnostics.classifiers import c2st, share
from precond_gm.diagnostics.features import Extractor, checked_features, train_extractor
from precond_gm.diagnostics.split import Block, Split
from precond_gm.numerics import two_sample
from precond_gm.numerics.neighbours import copying, neighbourhood
from precond_gm.numerics.recovery import directions, recovery_statistic
from precond_gm.numerics.statistics import Estimate, jackknife
from precond_gm.numerics.two_sample import Evaluate, Statistic

__all__ = ["FIGURES", "PER_LABEL", "Context", "Metric", "why_not"]

_GROUPS = 10
_PROJECTIONS = 128
# What a figure can be. Energy distance and MMD are estimated without bias: below zero where laws
# agree, so that an interval cut at zero would lie above a floor that is not.
_SHARES = ("precision", "recall", "coverage", "c2st", "label_accuracy", "copying")
_RANGE = dict.fromkeys(_SHARES, (0.0, 1.0)) | dict.fromkeys(
    ("energy_distance", "mmd"), (-math.inf, math.inf)
)
Better: TypeAlias = Literal["lower", "higher", "near"]


@dataclass(frozen=True)
class Metric:
    """A figure, its 95 % interval, and the same figure for data against data.

    Intervals end where the figure's range does: shares lie in [0, 1], distances and ratios at 0 or
    above. The unbiased ``energy_distance`` and ``mmd`` may lie a little below 0, and so may theirs.

    Attributes:
        value: Samples against data.
        low: Lower end of the interval.
        high: Upper end.
        floor: Data against other data, as many rows.
        better: Whether lower, higher, or near to the floor is better.
    """

    value: float
    low: float
    high: float
    floor: float
    better: Better = "lower"

    @property
    def differs(self) -> bool:
        """Whether the interval shows the samples to be worse than data are."""
        if self.better == "lower":
            return self.low > self.floor
        if self.better == "higher":
            return self.high < self.floor
        return not self.low <= self.floor <= self.high


@dataclass(frozen=True)
class Context:
    """What the figures are made from.

    Attributes:
        split: Blocks of rows.
        features: The user's extractor, or None for a small network trained on the data set aside.
        event_shape: Shape of a row, as the user's extractor expects it.
        has_reference: Whether the data set aside are the rows that the model was trained on.
        generator: Source of projections, first weights and folds.
        assigned_rows: Most rows of a block that exact W2 assigns.
    """

    split: Split
    features: Callable[[Tensor], Tensor] | None
    event_shape: tuple[int, ...]
    has_reference: bool
    generator: torch.Generator
    assigned_rows: int

    @cached_property
    def extractor(self) -> Extractor:
        """The small network, trained on the data set aside when it is first asked for."""
        aside = self.split.aside
        return train_extractor(aside.rows, aside.label, generator=self.generator)

    @cached_property
    def directions(self) -> Tensor:
        """Eigenvectors of the data set aside; none where these have no variance."""
        return directions(self.split.aside.rows)


def why_not(name: str, context: Context) -> str | None:
    """Say what the figure ``name`` lacks, or None where it can be computed."""
    split = context.split
    blocks = (("sample_label", split.samples[0]), ("data_label", split.data[0]))
    last = ("reference_label" if context.has_reference else "data_label", split.aside)
    if name == "label_accuracy":
        lacking = dict.fromkeys(what for what, b in (*blocks, last) if b.label is None)
        return f"labels on every side: give {' and '.join(lacking)}" if lacking else None
    if name == "copying" and not context.has_reference:
        return "the rows that the model was trained on: give reference"
    if name == "recovery" and not context.directions.shape[0]:
        where = "reference" if context.has_reference else "third of the data set aside"
        return f"rows that vary: every feature of the {where} is constant"
    return None


def _compare(
    statistic: Statistic, split: Split, better: Better = "lower", rows: int | None = None
) -> dict[str, Metric]:
    """Average a statistic over both pairs of blocks; jackknife it; take its floor."""
    (s_a, s_b), (d_a, d_b) = split.samples, split.data
    pairs = [_prepared(statistic, s_a, d_a, rows), _prepared(statistic, s_b, d_b, rows)]

    def estimate(group: int | None) -> dict[str, float]:
        found = [evaluate(_kept(a, group), _kept(b, group)) for evaluate, a, b in pairs]
        return {name: (found[0][name] + found[1][name]) / 2 for name in found[0]}

    evaluate, b, a = _prepared(statistic, d_b, d_a, rows)
    floor = evaluate(_kept(b, None), _kept(a, None))
    return {
        name: _metric(name, found, floor[name], better)
        for name, found in jackknife(estimate, _GROUPS).items()
    }


def _prepared(
    statistic: Statistic, a: Block, b: Block, rows: int | None
) -> tuple[Evaluate, Tensor, Tensor]:
    part = slice(0, rows)
    return statistic(a.rows[part], b.rows[part]), a.place[part], b.place[part]


def _kept(place: Tensor, group: int | None) -> Tensor:
    if group is None:
        return torch.arange(place.numel(), device=place.device)
    return torch.nonzero(place % _GROUPS != group).flatten()


def _metric(name: str, found: Estimate, floor: float, better: Better) -> Metric:
    """Return a figure, all of it within its range; the verdict ``differs`` stays the same."""
    least, most = _RANGE.get(name, (0.0, math.inf))
    numbers = (found.value, found.low, found.high, floor)
    value, low, high, floor = (min(max(number, least), most) for number in numbers)
    return Metric(value, low, high, floor, better)


def _sliced(context: Context) -> dict[str, Metric]:
    dim = context.split.aside.rows.shape[1]
    source = context.generator
    lines = torch.randn(
        _PROJECTIONS, dim, generator=source, device=source.device, dtype=torch.float64
    ).to(context.split.aside.rows.device)
    lines = lines / lines.norm(dim=1, keepdim=True)
    return _compare(two_sample.sliced_w2(lines), context.split)


def _recovery(context: Context) -> dict[str, Metric]:
    statistic = recovery_statistic(context.directions)
    found = _compare(statistic, context.split)
    ratio = found["low_recovery"]
    found["low_recovery"] = Metric(ratio.value, ratio.low, ratio.high, ratio.floor, "near")
    return found


def _frechet(context: Context) -> dict[str, Metric]:
    given = context.features
    if given is None:
        return _compare(two_sample.frechet(checked_features(context.extractor)), context.split)

    def shaped(rows: Tensor) -> Tensor:
        return given(rows.reshape(-1, *context.event_shape).float())

    return _compare(two_sample.frechet(checked_features(shaped)), context.split)


def _c2st(context: Context) -> dict[str, Metric]:
    (s_a, s_b), (d_a, d_b) = context.split.samples, context.split.data
    right = torch.cat([c2st(s_a.rows, d_a.rows), c2st(s_b.rows, d_b.rows)])
    floor = float(c2st(d_b.rows, d_a.rows).mean())
    return {"c2st": _metric("c2st", share(right), floor, "lower")}


def _label_accuracy(context: Context) -> dict[str, Metric]:
    """Return how often a classifier of the data gives samples the label they were made for."""
    split, extractor = context.split, context.extractor

    def right(block: Block) -> Tensor:
        assigned = extractor.head(block.rows).argmax(1)
        return torch.eq(assigned, assigned if block.label is None else block.label).double()

    sample_right = torch.cat([right(block) for block in split.samples])
    floor = float(torch.cat([right(block) for block in split.data]).mean())
    return {"label_accuracy": _metric("label_accuracy", share(sample_right), floor, "higher")}


def _copying(context: Context) -> dict[str, Metric]:
    """Return how often samples are nearer to the training rows than data are."""
    return _compare(copying(context.split.aside.rows), context.split, "lower")


FIGURES: dict[str, Callable[[Context], dict[str, Metric]]] = {
    "energy_distance": lambda c: _compare(two_sample.energy_distance, c.split),
    "sliced_w2": _sliced,
    "w2": lambda c: _compare(two_sample.exact_w2, c.split, rows=c.assigned_rows),
    "mmd": lambda c: _compare(two_sample.mmd, c.split),
    "recovery": _recovery,
    "neighbours": lambda c: _compare(neighbourhood(), c.split, "higher"),
    "frechet": _frechet,
    "c2st": _c2st,
    "label_accuracy": _label_accuracy,
    "copying": _copying,
}
PER_LABEL = ("energy_distance", "sliced_w2", "recovery")
