"""The quantities that a network may predict, a loss may compare and a solver may integrate."""

from __future__ import annotations

import enum

__all__ = ["InverseKind", "TargetKind"]


class TargetKind(enum.Enum):
    """A conditional mean given ``z_t``.

    ``VELOCITY`` and ``DRIFT`` are dynamics (what solvers take); ``X1`` means ``E[z1 | z_t]``,
    ``X0`` means ``E[z0 | z_t]``, ``NOISE`` the mean of the path's own ``eps``, ``SCORE`` the
    gradient of the log-density of ``z_t``.
    """

    VELOCITY = "velocity"
    DRIFT = "drift"
    X1 = "x1"
    X0 = "x0"
    NOISE = "noise"
    SCORE = "score"


class InverseKind(enum.Enum):
    """How a preconditioner is undone: by a formula, or by iteration up to a tolerance."""

    CLOSED_FORM = "closed-form"
    NUMERICAL = "numerical"
