r"""Which directions training leaves behind, proved: an affine map would do better there.

For every t and every eigen-direction of Sigma_t the network's held-out squared error is compared,
row by row, with that of the best linear predictor. The minimiser of the loss is at least as good
as any affine map, so a network that is worse is under-fitted in that direction, whatever its loss
looks like. The converse does not hold: a network can beat the affine map and still be far from
the optimum.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from precond_gm.diagnostics.baseline import Baseline
from precond_gm.diagnostics.end_moments import EndMoments
from precond_gm.diagnostics.ends import local_generator
from precond_gm.diagnostics.judging import (
    Basis,
    Judged,
    draw_pairs,
    evaluating,
    inner_times,
    predictions,
    rows_in_z,
)
from precond_gm.flow import PreconditionedFlow
from precond_gm.numerics.rows import RowsLike
from precond_gm.numerics.statistics import Simultaneous
from precond_gm.values import AbstractReport, TargetKind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["UnderfitReport", "underfit"]

_LOW_SHARE = 0.25
_RESOLVED = 1e-10  # of the largest variance: float32 rows do not resolve less


@dataclass(frozen=True)
class UnderfitReport(AbstractReport):
    """Held-out errors of the network and of the best linear predictor, per t and direction.

    Directions are the eigenvectors of Sigma_t, in the order of ascending eigenvalues. All errors
    are mean squares along a direction, in the space of what the network predicts.

    Attributes:
        t: Times, shape ``times``.
        eigenvalues: Of Sigma_t, shape ``times dim``.
        network_error: Of the network, shape ``times dim``.
        linear_error: Of the best linear predictor, on rows it was not fitted on.
        target_variance: Of the target about its mean; NaN where rounding hides a direction.
        excess_low: Lower end of ``network_error / linear_error - 1``, simultaneous over all cells
            with 95 % confidence.
        underfitted: Where ``excess_low`` is above the margin, bool, shape ``times dim``.
        margin: Share of the residual that is forgiven.
        prediction: What the network predicts.
        num_rows: Rows judged.
    """

    t: Tensor
    eigenvalues: Tensor
    network_error: Tensor
    linear_error: Tensor
    target_variance: Tensor
    excess_low: Tensor
    underfitted: Tensor
    margin: float
    prediction: str
    num_rows: int

    @property
    def explained(self) -> Tensor:
        """Share of the target's variance that the network explains, shape ``times dim``."""
        return 1 - self.network_error / self.target_variance

    @property
    def linear_explained(self) -> Tensor:
        """Share that the best linear predictor explains."""
        return 1 - self.linear_error / self.target_variance

    @property
    def num_directions(self) -> int:
        """Number of directions that are under-fitted at one time or more."""
        return int(self.underfitted.any(0).sum())

    def as_metrics(self) -> dict[str, float]:
        """Return the figures under ``underfit/...``."""
        low = max(1, round(_LOW_SHARE * self.underfitted.shape[1]))
        flagged, excess = self.underfitted.double(), self.network_error / self.linear_error - 1
        found = {
            "cells": float(flagged.sum()),
            "share": float(flagged.mean()),
            "share_low": float(flagged[:, :low].mean()),
            "directions": float(self.num_directions),
            "worst_excess": float(excess.nan_to_num(0.0).max()),
            "explained_low": float(self.explained[:, :low].nanmean()),
            "linear_explained_low": float(self.linear_explained[:, :low].nanmean()),
            "explained": 1 - float(self.network_error.sum() / self.target_variance.sum()),
            "linear_explained": 1 - float(self.linear_error.sum() / self.target_variance.sum()),
        }
        return {f"underfit/{name}": v for name, v in found.items() if math.isfinite(v)}

    def plot(self) -> Figure:
        """Draw the map over t and direction, and the explained shares."""
        from precond_gm.plotting.underfit import plot_underfit

        return plot_underfit(
            t=self.t,
            ratio=self.network_error / self.linear_error,
            underfitted=self.underfitted,
            explained=self.explained,
            linear_explained=self.linear_explained,
        )


def underfit(
    flow: PreconditionedFlow,
    x: RowsLike,
    label: Tensor | None = None,
    *,
    reference: RowsLike | None = None,
    reference_label: Tensor | None = None,
    times: int | Tensor = 21,
    margin: float = 0.05,
    max_rows: int = 4096,
    preconditioned: bool = False,
    generator: torch.Generator | None = None,
) -> UnderfitReport:
    r"""Find the directions in which an affine map would do better than the network.

    A cell (t, direction e) is counted when the lower end of the paired interval of
    ``((u - u_net) e)**2 - (1 + margin) ((u - u_lin) e)**2`` is above zero, simultaneously over all
    cells. For a Gaussian target the affine map *is* the optimum and every network lies a little
    above it, hence the margin.

    Args:
        flow: The flow; its network is judged in eval mode.
        x: Data rows that the network was not trained on, or batches of them.
        label: Labels of the rows.
        reference: Rows that the linear predictor is fitted on (the training rows, say). Without
            them it is cross-fitted: each half of ``x`` is judged by a predictor of the other half.
        reference_label: Labels of the reference.
        times: Number of times inside (0, t_max), or the times.
        margin: Share of the linear predictor's residual that is forgiven.
        max_rows: Most rows judged.
        preconditioned: Whether all rows are z already (from ``flow.precondition``).
        generator: Source of the noise; None is a fixed seed.

    Raises:
        InvalidInputError: Another event shape than the flow's, fewer than 8 rows.

    References:
        2603.02337, section 3.
    """
    generator = local_generator(generator)
    rows = rows_in_z(flow, x, label, max_rows, generator, preconditioned=preconditioned)
    known = None
    if reference is not None:
        known = rows_in_z(
            flow, reference, reference_label, None, generator, preconditioned=preconditioned
        )
    t = inner_times(flow, times)
    with evaluating(flow):
        pairs = draw_pairs(flow, rows, generator)
        moments = EndMoments.of_pairing(pairs, flow.coupling)
        folds = [moments.half(1), moments.half(0)]
        if known is not None:
            others = draw_pairs(flow, known, generator)
            folds = [EndMoments.of_pairing(others, flow.coupling)] * 2
        labels = [b.label for b in (rows, known) if b is not None and b.label is not None]
        num_labels = 1 + max((int(label.max()) for label in labels), default=0)
        baselines = [Baseline.of(fold, num_labels) for fold in folds]
        basis = Basis.of(moments, flow.path.coefficients(t.to(rows.x.device)))
        cells = _Cells(rows.x.shape[0], margin, generator)
        for index, judged in enumerate(predictions(flow, pairs, t, generator)):
            cells.add(judged, baselines, basis.vectors(index), flow.objective.prediction)
    return cells.report(t, basis.values.cpu(), flow.objective.prediction.value)


class _Cells:
    """Paired errors of every t and direction, and the bound that holds for all of them."""

    def __init__(self, rows: int, margin: float, generator: torch.Generator) -> None:
        self.rows, self.margin = rows, margin
        self.bounds = Simultaneous(rows, generator=generator)
        self.found: dict[str, list[Tensor]] = defaultdict(list)

    def add(
        self, judged: Judged, baselines: list[Baseline], basis: Tensor, kind: TargetKind
    ) -> None:
        """Judge one time. Every other row belongs to the second half, as in the moments."""
        linear = torch.empty_like(judged.target)
        for half, baseline in enumerate(baselines):
            part = slice(half, None, 2)
            label = None if judged.label is None else judged.label[part]
            linear[part] = baseline.at(judged.c, kind)(judged.z[part], label)
        network = judged.squares(judged.target - judged.prediction, basis)
        affine = judged.squares(judged.target - linear, basis)
        spread = judged.squares(judged.target - judged.target.mean(0), basis).mean(0)
        mean, error = self.bounds.add(network - (1 + self.margin) * affine)
        resolved = spread > _RESOLVED * spread.max()
        for name, values in (
            ("network", network.mean(0)),
            ("linear", affine.mean(0)),
            ("variance", torch.where(resolved, spread, torch.nan)),
            ("mean", mean),
            ("error", error),
        ):
            self.found[name].append(values.cpu())

    def report(self, t: Tensor, eigenvalues: Tensor, prediction: str) -> UnderfitReport:
        """Return the report, once every time was added."""
        found = {name: torch.stack(rows) for name, rows in self.found.items()}
        low = (found["mean"] - self.bounds.factor() * found["error"]) / found["linear"]
        excess_low = torch.where(found["variance"].isnan(), torch.nan, low + self.margin)
        return UnderfitReport(
            t=t,
            eigenvalues=eigenvalues,
            network_error=found["network"],
            linear_error=found["linear"],
            target_variance=found["variance"],
            excess_low=excess_low,
            underfitted=excess_low > self.margin,
            margin=self.margin,
            prediction=prediction,
            num_rows=self.rows,
        )
