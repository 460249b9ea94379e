"""Along which path a flow is sampled: its own, or another one that its network can serve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from precond_gm import paths
from precond_gm.flow.dynamics import Predicts
from precond_gm.paths.base import AbstractPath
from precond_gm.paths.reschedule import Rescheduled
from precond_gm.values import TargetKind

if TYPE_CHECKING:
    from precond_gm.flow.preconditioned import PreconditionedFlow

__all__ = ["Means", "Route", "route"]

_OF_THE_NOISE = (TargetKind.X0, TargetKind.NOISE, TargetKind.SCORE)


@dataclass(frozen=True)
class Means:
    """What a field predicts that gives means already, on any path.

    Attributes:
        prediction: Their kind.
        gaussian_source: Whether the source is N(0, I) and independent of the data.
    """

    prediction: TargetKind
    gaussian_source: bool

    def mean(self, output: Tensor) -> Tensor:
        """Return the output as it is."""
        return output


@dataclass(frozen=True)
class Route:
    """A path to sample along, with a field that knows it.

    Attributes:
        path: The path.
        field: Callable ``(t, z, label) -> prediction`` on that path.
        objective: What the field predicts.
        t_max: Largest time at which the network behind it was trained, as a time of this path.
    """

    path: AbstractPath
    field: Callable[..., Tensor]
    objective: Predicts
    t_max: float


def route(flow: PreconditionedFlow, field: Callable[..., Tensor] | None, path: Any) -> Route:
    """Return the flow's own path with its network, or ``path`` with the network carried over.

    Args:
        flow: The flow.
        field: Evaluated instead of the flow's own network, or None.
        path: Name, ``(name, options)`` or instance; None is the path of training.

    Raises:
        IncompatiblePartsError: The network cannot be carried over: one of the paths has noise of
            its own, and the source is not known to be a standard normal.
    """
    network = flow.field if field is None else field
    wanted = flow.path if path is None else paths.REGISTRY.resolve(path)
    objective = flow.objective
    if wanted == flow.path:
        return Route(flow.path, network, objective, flow.t_max)

    def mean(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        return objective.mean(network(t, z, label))

    # Where z_t is noise alone, x1 does not follow from what is known of the noise.
    of_noise = objective.prediction in _OF_THE_NOISE
    given = Means(TargetKind.X0 if of_noise else TargetKind.X1, objective.gaussian_source)
    carried = Rescheduled(
        mean, flow.path, wanted, objective.prediction, given.prediction, given.gaussian_source
    )
    last = torch.tensor([flow.t_max], dtype=torch.float64)
    t_max = float(carried.back().time(last)) if flow.t_max < 1 else 1.0
    return Route(wanted, carried, given, t_max)
