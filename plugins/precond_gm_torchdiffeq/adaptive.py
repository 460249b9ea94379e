"""Adaptive Runge-Kutta steps: the error is controlled, the number of evaluations is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torchdiffeq import odeint

from precond_gm.errors import InvalidInputError, NonFiniteError
from precond_gm.solvers import AbstractSolver
from precond_gm.values import Dynamics, TargetKind

__all__ = ["Adaptive"]

_METHODS = ("dopri5", "dopri8", "bosh3", "adaptive_heun")


@final
@dataclass(frozen=True)
class Adaptive(AbstractSolver):
    """Adaptive step from ``t`` to ``t_next`` with as many inner steps as the tolerance needs.

    The grid only says where states are wanted and where the integrator restarts, so a grid of one
    step is usual. The tolerance holds for the root mean square over the whole batch. It looks at
    its error after every inner step and so waits for the device, and it evaluates at ``t_next``:
    stop at ``t_max < 1`` where the velocity is singular at 1.

    Args:
        method: ``"dopri5"``, ``"dopri8"``, ``"bosh3"`` or ``"adaptive_heun"``.
        rtol: Relative tolerance, per inner step.
        atol: Absolute tolerance, per inner step.

    Raises:
        InvalidInputError: Another method, or a tolerance that is not positive.
    """

    accepts: ClassVar[frozenset[TargetKind]] = frozenset({TargetKind.VELOCITY})
    evals_per_step: ClassVar[int | None] = None
    method: str = "dopri5"
    rtol: float = 1e-5
    atol: float = 1e-5

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise InvalidInputError(
                f"method is {self.method!r}; the adaptive methods are {', '.join(_METHODS)}."
            )
        if not (self.rtol > 0 and self.atol > 0):
            raise InvalidInputError(
                f"tolerances are positive; got rtol={self.rtol}, atol={self.atol}."
            )

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
        """Advance to ``t_next`` within the tolerance."""

        def slope(now: Tensor, state: Tensor) -> Tensor:
            return dynamics(now.to(state.dtype).expand(state.shape[0]), state, label)

        ends = torch.tensor([t, t_next], dtype=torch.float64, device=z.device)
        # Without step_t the last inner step may reach beyond t_next, where nothing is defined.
        options = {"step_t": ends[1:]}
        try:
            path = odeint(
                slope,
                z,
                ends,
                rtol=self.rtol,
                atol=self.atol,
                method=self.method,
                options=options,
            )
        except AssertionError as error:  # how torchdiffeq reports a step size of zero or NaN
            raise NonFiniteError(
                f"{self.method} cannot get from t = {t:.6g} to {t_next:.6g}: {error}. The velocity "
                f"is singular or not finite there; stop at t_max < 1, or loosen the tolerance."
            ) from error
        return path[-1]
