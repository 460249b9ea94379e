"""The straight line under the user's own schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.schedules import Schedule, value_and_slope
from precond_gm.paths.base import AbstractPath
from precond_gm.values import Coefficients, TargetKind

__all__ = ["Warped", "smoothstep"]


def smoothstep(t: Tensor) -> Tensor:
    """Return ``3 t^2 - 2 t^3``: slow at both ends."""
    return t.square() * (3 - 2 * t)


@final
@dataclass(frozen=True)
class Warped(AbstractPath):
    r"""Straight line from ``z0`` to ``z1``, walked at the user's own pace.

    .. math::
        z_t = (1 - \kappa_t) z_0 + \kappa_t z_1, \qquad v_t = \kappa'_t (z_1 - z_0)

    Args:
        schedule: The pace kappa, from 0 at t = 0 to 1 at t = 1; its slope is found by forward-mode
            differentiation.

    Raises:
        InvalidInputError: The schedule does not go from 0 to 1.

    Example:
        >>> float(Warped(lambda t: t**3).coefficients(torch.tensor([0.5])).beta_slope)
        0.75
    """

    kind: ClassVar[TargetKind] = TargetKind.VELOCITY
    default_prediction: ClassVar[TargetKind] = TargetKind.VELOCITY
    schedule: Schedule = smoothstep

    def __post_init__(self) -> None:
        ends = self.schedule(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
        if ends != [0.0, 1.0]:
            raise InvalidInputError(
                f"Warped: schedule goes from 0 at t = 0 to 1 at t = 1; got {ends[0]:.6g} and "
                f"{ends[1]:.6g}. Shift and scale it."
            )

    def coefficients(self, t: Tensor) -> Coefficients:
        """Return ``1 - kappa`` and ``kappa``, in float64 first: near t = 1 the former cancels."""
        fine, slope = value_and_slope(self.schedule, t.to(torch.float64))
        rest, kappa, slope = (value.to(t.dtype) for value in (1 - fine, fine, slope))
        zeros = torch.zeros_like(t)
        return Coefficients(rest, -slope, kappa, slope, zeros, zeros)
