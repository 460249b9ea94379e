r"""What every solver is: one step of ``dz = b dt + sigma dB`` (an ODE when sigma = 0).

One method is required, ``step``; the loop over a grid is :func:`precond_gm.solvers.integrate`.
Times are Python floats: they are known before the loop, cost no kernel, and keep step sizes in
double precision whatever the dtype of the rows.
"""

from __future__ import annotations

import abc
from typing import ClassVar

import torch
from torch import Tensor

from precond_gm.values import Dynamics, TargetKind

__all__ = ["AbstractSolver", "euler_step", "evaluate"]


class AbstractSolver(abc.ABC):
    """One step of an ODE or SDE scheme. Concrete solvers are frozen dataclasses of their options.

    Attributes:
        accepts: Kinds of dynamics the scheme is right for. A solver that lists ``DRIFT`` adds the
            noise of the SDE; one that does not is refused where the diffusion is positive.
        evals_per_step: Evaluations of the dynamics in one step; None when it depends on the
            dynamics (adaptive schemes). ``integrate`` counts, it does not trust this number.
    """

    accepts: ClassVar[frozenset[TargetKind]]
    evals_per_step: ClassVar[int | None] = 1

    @abc.abstractmethod
    def step(
        self,
        dynamics: Dynamics,
        t: float,
        t_next: float,
        z: Tensor,
        label: Tensor | None,
        *,
        diffusion: float,
        increment: Tensor | None,
    ) -> Tensor:
        """Advance rows from ``t`` to ``t_next``.

        Args:
            dynamics: Velocity (ODE) or drift (SDE).
            t: Time of ``z``, in [0, 1).
            t_next: Time of the result, larger than ``t``.
            z: Rows, shape ``batch *event``.
            label: Label of each row, or None.
            diffusion: Scale sigma of the noise; 0 for an ODE.
            increment: ``B(t_next) - B(t)`` of each row, variance ``t_next - t`` per coordinate;
                None exactly when ``diffusion`` is 0.
        """


def evaluate(dynamics: Dynamics, t: float, z: Tensor, label: Tensor | None) -> Tensor:
    """Evaluate the dynamics at one time for all rows (a view of one number: no copy, no sync)."""
    return dynamics(z.new_full((), t).expand(z.shape[0]), z, label)


def euler_step(
    dynamics: Dynamics,
    t: float,
    t_next: float,
    z: Tensor,
    label: Tensor | None,
    *,
    diffusion: float,
    increment: Tensor | None,
) -> Tensor:
    """Advance by ``z + h b + sigma dB``: Euler, and Euler-Maruyama where there is noise."""
    moved = torch.add(z, evaluate(dynamics, t, z, label), alpha=t_next - t)
    return moved if increment is None else torch.add(moved, increment, alpha=diffusion)
