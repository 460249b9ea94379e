"""Which directions training leaves behind: the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from precond_gm.values import AbstractReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["UnderfitReport"]

_LOW_SHARE = 0.25


@dataclass(frozen=True)
class UnderfitReport(AbstractReport):
    """Held-out errors of the network and of the best linear predictor, per t and direction.

    Directions are the eigenvectors of Sigma_t, in the order of ascending eigenvalues: of the
    reference, or of the other half of the rows, so that the k-th direction is two slightly
    different ones, each of which judges the half that it was not chosen on. All errors are mean
    squares along a direction, in the space of what the network predicts.

    Attributes:
        t: Times, shape ``times``.
        eigenvalues: Of Sigma_t of the reference, or of all rows, shape ``times dim``.
        network_error: Of the network, shape ``times dim``.
        linear_error: Of the best linear predictor, on rows it was not fitted on.
        target_variance: Of the target about its mean; NaN where rounding hides a direction.
        excess_low: Lower end of ``network_error / linear_error - 1``, simultaneous over all cells
            with 95 % confidence. NaN in every cell where rows are too few for an affine map:
            then nothing is judged, and a note says so.
        underfitted: Where ``excess_low`` is above the margin, bool, shape ``times dim``.
        margin: Share of the residual that is forgiven.
        prediction: What the network predicts.
        num_rows: Rows judged.
        notes: What the reader should know.
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
    notes: tuple[str, ...] = ()

    @property
    def is_judged(self) -> bool:
        """Whether rows sufficed to judge any cell; where not, no flag is no verdict."""
        return not bool(self.excess_low.isnan().all())

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
        """Return the figures under ``underfit/...``; no counts where nothing was judged."""
        low = max(1, round(_LOW_SHARE * self.underfitted.shape[1]))
        flagged, excess = self.underfitted.double(), self.network_error / self.linear_error - 1
        counts = {
            "cells": float(flagged.sum()),
            "share": float(flagged.mean()),
            "share_low": float(flagged[:, :low].mean()),
            "directions": float(self.num_directions),
            "worst_excess": float(excess.nan_to_num(0.0).max()),
        }
        found = (counts if self.is_judged else {}) | {
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
