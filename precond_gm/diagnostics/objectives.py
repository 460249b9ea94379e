r"""Compare objectives by the noise of their gradients on the user's data.

A gradient of a batch is ``g + noise``. What slows training is the noise relative to the signal,
``tr Cov(g_batch) / ||E g||^2``: it does not change when the loss is multiplied by a constant, so
objectives with different weights and time laws can be compared. Two objectives with the same
``w(t) p(t)`` have the same expected gradient, and only their noise differs.
"""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from precond_gm.diagnostics.gradient_noise import gradient_noise
from precond_gm.errors import IncompatiblePartsError, InvalidInputError, ObjectiveWarning
from precond_gm.flow import PreconditionedFlow
from precond_gm.objectives import Objective, as_time_law, as_weight, compose, settings_of
from precond_gm.objectives.time_laws import Uniform
from precond_gm.objectives.weights import Constant
from precond_gm.values import AbstractReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ObjectivesReport", "objectives"]


@dataclass(frozen=True)
class ObjectivesReport(AbstractReport):
    """Gradient noise of several objectives on the same network and data.

    Attributes:
        names: Names of the objectives.
        loss: Mean loss of each; not comparable between different objectives.
        gradient_norm: Norm of the mean gradient, corrected for the noise left in it.
        relative_noise: Trace of the covariance of a batch's gradient over the square of that norm;
            NaN where so few batches do not resolve the signal.
        low: Lower end of its 95 % interval over batches.
        high: Upper end; infinite where the signal is not resolved.
        batch_size: Rows of a batch.
        batches: Number of batches.
    """

    names: tuple[str, ...]
    loss: Tensor
    gradient_norm: Tensor
    relative_noise: Tensor
    low: Tensor
    high: Tensor
    batch_size: int
    batches: int

    @property
    def is_resolved(self) -> Tensor:
        """Whether the signal of each objective is told from zero by these batches."""
        return torch.isfinite(self.relative_noise)

    def noise_texts(self) -> tuple[str, ...]:
        """Return the relative noise of each objective in words, with its interval.

        Where the signal is not resolved, only a lower bound is known: more batches resolve it.
        """
        return tuple(
            f"{noise:.3g} [{low:.3g}, {high:.3g}]"
            if math.isfinite(noise)
            else f"signal not resolved, at least {low:.3g}"
            for noise, low, high in zip(
                self.relative_noise.tolist(), self.low.tolist(), self.high.tolist(), strict=True
            )
        )

    def as_metrics(self) -> dict[str, float]:
        """Return the relative noise of each objective under ``objectives/...``, where resolved."""
        return {
            f"objectives/{_metric_name(name)}/relative_noise": float(value)
            for name, value in zip(self.names, self.relative_noise, strict=True)
            if torch.isfinite(value)
        }

    def plot(self) -> Figure:
        """Draw the relative noise of each objective with its interval, or its lower bound."""
        from precond_gm.plotting.objectives import plot_objectives

        return plot_objectives(
            names=self.names, noise=self.relative_noise, low=self.low, high=self.high
        )


def objectives(
    flow: PreconditionedFlow,
    x: Tensor,
    label: Tensor | None = None,
    *,
    objectives: Sequence[str] | Mapping[str, Objective | Mapping[str, Any]],
    exchange: bool = False,
    steps: int = 0,
    learning_rate: float = 1e-3,
    batch_size: int = 256,
    batches: int = 64,
    generator: torch.Generator | None = None,
) -> ObjectivesReport:
    """Measure the gradient noise of objectives on a flow's path, coupling, network and data.

    Each objective gets its own copy of the network, trained for ``steps`` steps under it. With
    ``steps=0`` the same weights are read as each prediction in turn, so that objectives of one
    prediction are compared at one point.

    Args:
        flow: The flow; its own objective and weights are left alone.
        x: Data rows.
        label: Their labels.
        objectives: Texts (see ``settings_of``), or a name for each objective or its settings.
        exchange: Whether each is measured at the same weights with its emphasis ``w(t) p(t)`` moved
            into the weight (uniform times) and into the time law (constant weight) as well: the
            expected gradient is the same, its noise is not.
        steps: Adam steps of each copy before the measurement.
        learning_rate: Of these steps.
        batch_size: Rows of a batch.
        batches: Number of batches, 8 or more.
        generator: Source of randomness.

    Raises:
        InvalidInputError: Too few batches, or no objective.

    Example:
        >>> import torch, precond_gm as pg
        >>> flow = pg.wrap(pg.models.MLP(2, width=8), event_shape=2)
        >>> x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
        >>> names = ["velocity", "velocity////uniform:sampling=stratified"]
        >>> report = objectives(flow, x, objectives=names, batch_size=16, batches=8)
        >>> report.relative_noise.shape
        torch.Size([2])
    """
    items = objectives if isinstance(objectives, Mapping) else {text: text for text in objectives}
    named = {name: _composed(flow, item) for name, item in items.items()}
    if batches < 8 or not named:
        raise InvalidInputError(
            f"a comparison takes one objective or more and 8 batches or more; got {len(named)} "
            f"and {batches}."
        )
    loader = _Batches(flow.precondition(x, label), label, batch_size, generator)
    found = {}
    for name, objective in named.items():
        one = copy.deepcopy(flow)
        one.objective = copy.deepcopy(objective)
        _train(one, loader, steps, learning_rate)
        found[name] = gradient_noise(one, loader.loss, batches)
        for how, same in (_exchanged(flow, one.objective) if exchange else {}).items():
            one.objective = same
            found[f"{name} [{how}]"] = gradient_noise(one, loader.loss, batches)
    loss, norm, noise, low, high = (
        torch.stack([getattr(one, part) for one in found.values()])
        for part in ("loss", "norm", "relative", "low", "high")
    )
    return ObjectivesReport(
        tuple(found), loss, norm, noise, low, high, batch_size=batch_size, batches=batches
    )


class _Batches:
    """Random batches of preconditioned rows."""

    def __init__(
        self, z1: Tensor, label: Tensor | None, size: int, generator: torch.Generator | None
    ) -> None:
        self.z1, self.label, self.size, self.generator = z1, label, size, generator

    def loss(self, flow: PreconditionedFlow) -> Tensor:
        """Return the loss of one random batch."""
        g = self.generator
        device = g.device if g is not None else self.z1.device
        rows = torch.randint(self.z1.shape[0], (self.size,), generator=g, device=device)
        rows = rows.to(self.z1.device)
        label = None if self.label is None else self.label[rows]
        return flow.loss(self.z1[rows], label, preconditioned=True, generator=g).total


def _composed(flow: PreconditionedFlow, item: Any) -> Objective:
    """Compose what is not composed; what it warns of is known to who compares."""
    if isinstance(item, Objective):
        return item
    settings = settings_of(item) if isinstance(item, str) else dict(item)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ObjectiveWarning)
        return compose(flow.path, **settings, gaussian_source=flow.coupling.is_independent)


def _exchanged(flow: PreconditionedFlow, objective: Objective) -> dict[str, Objective]:
    """Return the same objective with its emphasis in the weight alone, and in the law alone.

    What is so already is left out, and so is what cannot be: a learned weight, or an emphasis with
    an infinite integral, which no law has.
    """
    found = {}
    if not isinstance(objective.time_law, Uniform):
        with contextlib.suppress(IncompatiblePartsError):
            found["as weight"] = as_weight(objective)
    if not isinstance(objective.weight, Constant):
        with contextlib.suppress(IncompatiblePartsError):
            found["as time law"] = as_time_law(objective, flow.path)
    return found


def _train(flow: PreconditionedFlow, loader: _Batches, steps: int, learning_rate: float) -> None:
    parameters = [p for p in flow.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=learning_rate)
    for _ in range(steps):
        optimiser.zero_grad()
        loader.loss(flow).backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def _metric_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "_-." else "_" for c in name)
