"""The history of an observer: what was explained along each direction, step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from precond_gm.diagnostics.underfit_report import UnderfitReport
from precond_gm.values import AbstractReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ObserverReport", "Seen"]


@dataclass(frozen=True)
class Seen:
    """What is kept of an observation: means over t, and how many directions were flagged."""

    step: int
    explained: Tensor
    linear_explained: Tensor
    directions: int

    @classmethod
    def of(cls, step: int, report: UnderfitReport) -> Seen:
        """Keep a report's means."""
        return cls(
            step, report.explained.mean(0), report.linear_explained.mean(0), report.num_directions
        )


@dataclass(frozen=True)
class ObserverReport(AbstractReport):
    """History of the explained share per direction, mean over t.

    Attributes:
        steps: Training steps, shape ``observations``.
        explained: Share of the target's variance that the network explains, per direction in the
            order of ascending eigenvalues, shape ``observations dim``.
        linear_explained: Share that the best linear predictor explains.
        directions: Directions that were under-fitted at one time or more, per observation.
        warned_at: Step of the warning, or None.
        warning: Its text, remedy included; empty without one.
    """

    steps: Tensor
    explained: Tensor
    linear_explained: Tensor
    directions: Tensor
    warned_at: int | None
    warning: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ObserverReport:
        """Return the report whose ``to_dict`` gave these values."""

        def shares(name: str) -> Tensor:
            rows = [[math.nan if v is None else float(v) for v in row] for row in values[name]]
            return torch.tensor(rows, dtype=torch.float64)

        return cls(
            steps=torch.tensor(values["steps"]),
            explained=shares("explained"),
            linear_explained=shares("linear_explained"),
            directions=torch.tensor(values["directions"]),
            warned_at=values["warned_at"],
            warning=values["warning"],
        )

    def as_metrics(self) -> dict[str, float]:
        """Return the last observation under ``observer/...``; ``low``: a quarter, the smallest."""
        network, affine = self.explained[-1], self.linear_explained[-1]
        low = slice(max(1, network.shape[0] // 4))
        found = {
            "explained": float(network.nanmean()),
            "linear_explained": float(affine.nanmean()),
            "explained_low": float(network[low].nanmean()),
            "linear_explained_low": float(affine[low].nanmean()),
            "directions": float(self.directions[-1]),
            "warned": float(self.warned_at is not None),
        }
        return {f"observer/{name}": v for name, v in found.items() if math.isfinite(v)}

    def plot(self) -> Figure:
        """Draw the gap to the linear predictor per direction over training."""
        from precond_gm.plotting.underfit import plot_history

        return plot_history(self.steps, self.explained, self.linear_explained, self.directions)
