"""From a prediction to the dynamics that solvers and studies take."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from precond_gm.numerics.conversion import conversion
from precond_gm.objectives import Objective
from precond_gm.paths.base import AbstractPath
from precond_gm.values import TargetKind

__all__ = ["FieldDynamics"]


class FieldDynamics:
    """Velocity or drift of a field: ``(t, z, label) -> dynamics``.

    Args:
        field: Callable ``(t, z, label) -> prediction``.
        path: The path it was trained on.
        objective: Says what is predicted, and the link from outputs to means.
        kind: What to give; the path's own kind by default.
    """

    def __init__(
        self,
        field: Callable[..., Tensor],
        path: AbstractPath,
        objective: Objective,
        kind: TargetKind | None = None,
    ) -> None:
        self.field = field
        self.path = path
        self.objective = objective
        self.kind = kind or path.kind

    def __call__(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Evaluate at times ``t`` (shape batch) and points ``z``."""
        prediction = self.objective.mean(self.field(t, z, label))
        if self.objective.prediction is self.kind:
            return prediction
        convert = conversion(
            self.path.coefficients(t),
            self.objective.prediction,
            self.kind,
            gaussian_source=self.objective.gaussian_source,
        )
        return convert(prediction, z)
