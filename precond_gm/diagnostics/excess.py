"""Excess risk per direction, where the exact conditional mean is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from precond_gm.diagnostics.end_moments import EndMoments
from precond_gm.diagnostics.ends import local_generator
from precond_gm.diagnostics.judged_rows import (
    draw_pairs,
    inner_times,
    rows_in_z,
    warn_without_labels,
)
from precond_gm.diagnostics.judging import Basis, evaluating, predictions
from precond_gm.errors import InvalidInputError
from precond_gm.flow import PreconditionedFlow
from precond_gm.numerics.rows import RowsLike, flatten
from precond_gm.values import AbstractReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ExcessRiskReport", "excess_risk"]


@dataclass(frozen=True)
class ExcessRiskReport(AbstractReport):
    """Mean squared distance of the network from the exact conditional mean, per t and direction.

    Attributes:
        t: Times, shape ``times``.
        eigenvalues: Of Sigma_t, ascending, shape ``times dim``.
        excess: Excess risk along each direction, shape ``times dim``.
        signal: Mean square of the exact conditional mean along each direction.
        standard_error: Of the excess.
    """

    t: Tensor
    eigenvalues: Tensor
    excess: Tensor
    signal: Tensor
    standard_error: Tensor

    @property
    def left(self) -> Tensor:
        """Share of each direction that is still to be learned, mean over t, shape ``dim``.

        It compares runs in different coordinates, which losses and risks do not.
        """
        return self.excess.sum(0) / self.signal.sum(0)

    @property
    def total(self) -> float:
        """Excess risk summed over directions, mean over t."""
        return float(self.excess.sum(1).mean())

    def as_metrics(self) -> dict[str, float]:
        """Return the figures under ``excess/...``."""
        low = max(1, self.left.numel() // 4)
        found = {
            "total": self.total,
            "left": float(self.excess.sum() / self.signal.sum()),
            "left_low": float(self.left[:low].mean()),
            "left_worst": float(self.left.max()),
        }
        return {f"excess/{name}": value for name, value in found.items() if math.isfinite(value)}

    def plot(self) -> Figure:
        """Draw the excess risk over t and the share left per direction."""
        from precond_gm.plotting.underfit import plot_excess

        return plot_excess(self.t, self.excess, self.left)


def excess_risk(
    flow: PreconditionedFlow,
    x: RowsLike,
    label: Tensor | None = None,
    *,
    exact: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    times: int | Tensor = 21,
    max_rows: int = 4096,
    generator: torch.Generator | None = None,
) -> ExcessRiskReport:
    """Measure how far the network is from the exact conditional mean.

    Args:
        flow: The flow; its network is judged in eval mode.
        x: Rows of the law that ``exact`` belongs to.
        label: Labels of the rows.
        exact: Exact mean of what the network predicts, ``(t, z, label)`` with z in preconditioned
            coordinates and ``t`` of shape batch.
        times: Number of times inside (0, t_max), or the times.
        max_rows: Most rows judged, at least 8.
        generator: Source of the noise; None is a fixed seed.

    Raises:
        InvalidInputError: ``exact`` returns another shape; another event shape; too few rows;
            labels for some rows only.
        InvalidTypeError: Rows of a precision that the network refuses.
        NonFiniteError: The network gives NaN or infinity.
    """
    generator = local_generator(generator)
    rows = rows_in_z(flow, x, label, max_rows, generator)
    warn_without_labels(flow, rows)
    t = inner_times(flow, times)
    found: dict[str, list[Tensor]] = {"excess": [], "signal": [], "error": []}
    with evaluating(flow):
        pairs = draw_pairs(flow, rows, generator)
        moments = EndMoments.of_pairing(pairs, flow.coupling)
        basis = Basis.of(moments, flow.path.coefficients(t.to(rows.x.device)))
        for index, judged in enumerate(predictions(flow, pairs, t, generator)):
            time = judged.z.new_full((judged.z.shape[0],), judged.t)
            mean = flatten(exact(time, judged.z.reshape(pairs.z1.shape), judged.label)).to(judged.z)
            if mean.shape != judged.prediction.shape:
                raise InvalidInputError(
                    f"exact gave rows of shape {tuple(mean.shape)}, expected "
                    f"{tuple(judged.prediction.shape)}: the mean of what the network predicts."
                )
            vectors = basis.vectors(index)
            squares = judged.squares(judged.prediction - mean, vectors)
            found["excess"].append(squares.mean(0).cpu())
            found["error"].append((squares.std(0) / squares.shape[0] ** 0.5).cpu())
            found["signal"].append(judged.squares(mean, vectors).mean(0).cpu())
    excess, signal, error = (torch.stack(found[name]) for name in ("excess", "signal", "error"))
    return ExcessRiskReport(t, basis.values.cpu(), excess, signal, error)
