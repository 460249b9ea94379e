"""Does the loss judge the network in the space where it predicts? What it costs if not."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from precond_gm import paths
from precond_gm.errors import IncompatiblePartsError, InvalidInputError, SingularCellWarning
from precond_gm.flow import PreconditionedFlow
from precond_gm.numerics.noise import standard_normal
from precond_gm.objectives import ImpliedWeight, Objective, compose, implied_weight, kind_of
from precond_gm.objectives.ends import Ends
from precond_gm.objectives.implied import target_power
from precond_gm.paths import AbstractPath
from precond_gm.values import AbstractReport, TargetKind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AlignmentReport", "MeasuredCell", "alignment", "alignment_table"]


@dataclass(frozen=True)
class MeasuredCell:
    """Loss of a network and its gradient against t.

    Attributes:
        t: Times, shape ``times``.
        loss: Mean loss of a row at each time.
        gradient_norm: Root mean square over batches of the norm of the gradient of the mean loss.
    """

    t: Tensor
    loss: Tensor
    gradient_norm: Tensor


@dataclass(frozen=True)
class AlignmentReport(AbstractReport):
    """A cell of the table prediction x loss space, on one path.

    Attributes:
        implied: The exact implied weight.
        measured: Loss and gradient norm of a network, where flow and data were given.
    """

    implied: ImpliedWeight
    measured: MeasuredCell | None = None

    def weight(self, t: Tensor) -> Tensor:
        """Return the factor of the prediction's own squared error at times in (0, 1)."""
        return self.implied(t)

    @property
    def formula(self) -> str:
        """The weight as a formula in t, or in the path's schedules and their slopes."""
        return self.implied.formula

    @property
    def supremum(self) -> float:
        """Largest weight over (0, 1), possibly infinite."""
        return self.implied.supremum

    @property
    def is_integrable(self) -> bool:
        """Whether the weight has a finite integral over (0, 1)."""
        return self.implied.ends.is_integrable

    @property
    def is_aligned(self) -> bool:
        """Whether the loss is in the space of the prediction."""
        return self.implied.is_aligned

    @cached_property
    def target(self) -> Ends:
        """Second moment of the target next to the ends; unbounded ones diverge even if aligned."""
        return target_power(self.implied.path, self.implied.loss_space)

    @property
    def is_bounded(self) -> bool:
        """Whether weight and target are bounded, so that gradients are, for all t."""
        return math.isfinite(self.supremum) and self.target.is_bounded

    @property
    def aligned_alternative(self) -> tuple[TargetKind, TargetKind]:
        """Prediction and loss space to use instead: aligned, and with a bounded target.

        The prediction is kept if its own target is bounded, else it is the path's default.
        """
        have, path = self.implied.prediction, self.implied.path
        kept = have if target_power(path, have).is_bounded else path.default_prediction
        return kept, kept

    def as_metrics(self) -> dict[str, float]:
        """Return flags and the finite numbers under ``alignment/...``."""
        metrics = {
            "alignment/is_aligned": float(self.is_aligned),
            "alignment/is_bounded": float(self.is_bounded),
            "alignment/is_integrable": float(self.is_integrable),
        }
        if math.isfinite(self.supremum):
            metrics["alignment/supremum"] = self.supremum
        if self.measured is not None:
            norm = self.measured.gradient_norm
            metrics["alignment/gradient_norm_ratio"] = float(norm.max() / norm.median())
        return metrics

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values: the properties, not only the fields."""
        have, want = self.aligned_alternative
        measured = super().to_dict()["measured"]
        return {
            "path": repr(self.implied.path),
            "prediction": self.implied.prediction.value,
            "loss_space": self.implied.loss_space.value,
            "clamp": self.implied.clamp,
            "formula": self.formula,
            "growth": self.implied.growth,
            "supremum": self.supremum if math.isfinite(self.supremum) else "inf",
            "is_aligned": self.is_aligned,
            "is_bounded": self.is_bounded,
            "is_integrable": self.is_integrable,
            "aligned_alternative": [have.value, want.value],
            "measured": measured,
        }

    def plot(self) -> Figure:
        """Draw the implied weight, and where measured loss and gradient norm, against t."""
        from precond_gm.plotting.alignment import plot_alignment

        t = torch.linspace(0.005, 0.995, 199, dtype=torch.float64)
        have, want = self.implied.prediction.value, self.implied.loss_space.value
        found = self.measured
        return plot_alignment(
            title=f"{have}-prediction, {want}-loss: {self.formula}",
            t=t,
            weight=self.weight(t),
            measured_t=None if found is None else found.t,
            loss=None if found is None else found.loss,
            gradient_norm=None if found is None else found.gradient_norm,
        )


def alignment(
    path: Any = "linear",
    prediction: TargetKind | str | None = None,
    loss_space: TargetKind | str | None = None,
    *,
    gaussian_source: bool = False,
    clamp: float = 0.0,
    flow: PreconditionedFlow | None = None,
    x: Tensor | None = None,
    label: Tensor | None = None,
    times: int = 21,
    batches: int = 8,
    generator: torch.Generator | None = None,
) -> AlignmentReport:
    """Report the implied weight of a cell; with a flow and data, its loss and gradients against t.

    Args:
        path: Name, ``(name, options)`` or instance.
        prediction: What the network estimates; None is the path's default.
        loss_space: Where the loss compares; None is the space of the prediction.
        gaussian_source: Whether the source is N(0, I) and independent of the data.
        clamp: The weight is at most ``1 / clamp**2``; 0 for no bound.
        flow: A flow whose network predicts ``prediction`` on this path.
        x: Data rows for the measurement.
        label: Their labels.
        times: Number of times of the measurement, midpoints of equal cells.
        batches: Number of batches that the rows are split into, at most the number of rows.
        generator: Source of noise.

    Raises:
        IncompatiblePartsError: The cell does not exist on this path, or the flow predicts
            something else.
        InvalidInputError: A flow without data, or the other way round; fewer rows than batches.

    References:
        arXiv:2602.10420.

    Example:
        >>> report = alignment("linear", "x1", "velocity")
        >>> report.formula, report.supremum, [kind.value for kind in report.aligned_alternative]
        ('1/(1-t)^2', inf, ['x1', 'x1'])
    """
    way = paths.REGISTRY.resolve(path)
    have = way.default_prediction if prediction is None else kind_of(prediction)
    want = have if loss_space is None else kind_of(loss_space)
    implied = implied_weight(way, have, want, gaussian_source, clamp=clamp)
    if (flow is None) != (x is None):
        raise InvalidInputError("a measurement needs both: give flow and x, or neither of them.")
    if flow is None or x is None:
        return AlignmentReport(implied)
    if flow.objective.prediction is not have:
        raise IncompatiblePartsError(
            f"the flow predicts {flow.objective.prediction.value}, the report is on "
            f"{have.value}-prediction. Give prediction={flow.objective.prediction.value!r}."
        )
    _check_sizes(x.shape[0], times, batches)
    objective = _bare(flow, way, implied)
    found = _measure(flow, way, objective, x, label, times, batches, generator)
    return AlignmentReport(implied, found)


def alignment_table(
    path: Any = "linear", *, gaussian_source: bool = False
) -> dict[TargetKind, dict[TargetKind, str]]:
    """Return the implied weight of every cell as a formula; cells that do not exist are missing.

    Args:
        path: Name, ``(name, options)`` or instance.
        gaussian_source: Whether the source is N(0, I) and independent of the data.

    Example:
        >>> row = alignment_table("linear")[TargetKind.X1]
        >>> {kind.value: formula for kind, formula in row.items()}
        {'velocity': '1/(1-t)^2', 'x1': '1', 'x0': 't^2/(1-t)^2'}
    """
    way = paths.REGISTRY.resolve(path)
    table: dict[TargetKind, dict[TargetKind, str]] = {}
    for have in TargetKind:
        for want in TargetKind:
            try:
                cell = implied_weight(way, have, want, gaussian_source)
            except IncompatiblePartsError:
                continue
            table.setdefault(have, {})[want] = cell.formula
    return table


def _check_sizes(rows: int, times: int, batches: int) -> None:
    if times < 1 or not 1 <= batches <= rows:
        raise InvalidInputError(
            f"a measurement takes 1 time or more, and splits the rows into 1 batch or more with a "
            f"row in each; got times={times}, batches={batches} and {rows} rows. Give "
            f"batches={max(1, min(rows, 8))}, or more rows."
        )


def _bare(flow: PreconditionedFlow, path: AbstractPath, implied: ImpliedWeight) -> Objective:
    """Compose the cell alone; the flow's divergence is kept where the cell is aligned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularCellWarning)  # the report itself says it
        return compose(
            path,
            prediction=implied.prediction,
            loss_space=implied.loss_space,
            divergence=flow.objective.divergence if implied.is_aligned else "squared",
            gaussian_source=implied.gaussian_source,
            clamp=implied.clamp,
        )


def _measure(
    flow: PreconditionedFlow,
    path: AbstractPath,
    objective: Objective,
    x: Tensor,
    label: Tensor | None,
    times: int,
    batches: int,
    generator: torch.Generator | None,
) -> MeasuredCell:
    z1 = flow.precondition(x, label)
    grid = (torch.arange(times, dtype=z1.dtype) + 0.5) / times
    parameters = [p for p in flow.field.parameters() if p.requires_grad]
    losses, norms = [], []
    for at in grid.tolist():
        loss, square = z1.new_zeros(()), z1.new_zeros(())
        for chunk in torch.arange(z1.shape[0]).tensor_split(batches):
            rows = z1[chunk]
            labels = None if label is None else label[chunk]
            pairing = flow.coupling.pair(
                standard_normal(rows, generator), rows, labels, generator=generator
            )
            t = rows.new_full((pairing.z1.shape[0],), at)
            point = path.sample(pairing, t, target=objective.loss_space, generator=generator)
            total = objective(point, flow.field(point.t, point.z_t, point.label)).total
            gradients = torch.autograd.grad(total, parameters, allow_unused=True)
            square += sum((g.square().sum() for g in gradients if g is not None), z1.new_zeros(()))
            loss += total.detach()
        losses.append(loss / batches)
        norms.append((square / batches).sqrt())
    return MeasuredCell(grid, torch.stack(losses), torch.stack(norms))
