"""The straight line under the user's own schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from precond_gm.numerics.schedules import Schedule
from precond_gm.paths.base import AbstractPath
from precond_gm.paths.schedules import RISING, check_inside, named
from precond_gm.values import Coefficients, TargetKind

__all__ = ["SCHEDULES", "Warped", "smoothstep"]


def smoothstep(t: Tensor) -> Tensor:
    """Return ``3 t^2 - 2 t^3``: slow at both ends."""
    return t.square() * (3 - 2 * t)


SCHEDULES: dict[str, Schedule] = {"smoothstep": smoothstep}
"""The pace by name: ``3 t^2 - 2 t^3``."""


@final
@dataclass(frozen=True)
class Warped(AbstractPath):
    r"""Straight line from ``z0`` to ``z1``, walked at the user's own pace.

    .. math::
        z_t = (1 - \kappa_t) z_0 + \kappa_t z_1, \qquad v_t = \kappa'_t (z_1 - z_0)

    Args:
        schedule: The pace kappa, from 0 at t = 0 to 1 at t = 1: a name in ``SCHEDULES``, or a
            function of times, whose slope is found by forward-mode differentiation. A checkpoint
            keeps a name; a function is given to ``load`` again.

    Raises:
        InvalidInputError: An unknown name, a schedule that does not go from 0 to 1, or one that is
            not finite in between.

    Example:
        >>> float(Warped(lambda t: t**3).coefficients(torch.tensor([0.5])).beta_slope)
        0.75
    """

    kind: ClassVar[TargetKind] = TargetKind.VELOCITY
    default_prediction: ClassVar[TargetKind] = TargetKind.VELOCITY
    schedule: str | Schedule = "smoothstep"

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", named(self.schedule, SCHEDULES, "Warped: schedule"))
        if not isinstance(self.schedule, str):
            RISING.check("Warped: schedule", self.schedule)
            check_inside(self)

    @property
    def formulas(self) -> dict[str, str]:
        """Those of the default pace; your own is left as a symbol."""
        if self.schedule != "smoothstep":
            return {}
        return {
            "alpha": "(1-t)^2 (1+2 t)",
            "alpha'": "-6 t (1-t)",
            "beta": "t^2 (3-2 t)",
            "beta'": "6 t (1-t)",
        }

    def coefficients(self, t: Tensor) -> Coefficients:
        """Return ``1 - kappa`` and ``kappa``, in float64 first: near t = 1 the former cancels."""
        schedule = SCHEDULES[self.schedule] if isinstance(self.schedule, str) else self.schedule
        fine, slope = RISING.at(schedule, t.to(torch.float64))
        rest, kappa, slope = (value.to(t.dtype) for value in (1 - fine, fine, slope))
        zeros = torch.zeros_like(t)
        return Coefficients(rest, -slope, kappa, slope, zeros, zeros)
