"""Adaptive Runge-Kutta steps: the error is controlled, the number of evaluations is not known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torchdiffeq import odeint

from precond_gm.errors import InvalidInputError, NonFiniteError
from precond_gm.solvers import AbstractSolver
from precond_gm.values import Dynamics, TargetKind

__all__ = ["Adaptive"]

_ORDERS = {"dopri5": 5, "dopri8": 8, "bosh3": 3, "adaptive_heun": 2}
_TINY = 1e-5  # below it a size, in units of the tolerance, says nothing


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
        if self.method not in _ORDERS:
            raise InvalidInputError(
                f"method is {self.method!r}; the adaptive methods are {', '.join(_ORDERS)}."
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
        ends = torch.tensor([t, t_next], dtype=torch.float64, device=z.device)

        def slope(now: Tensor, state: Tensor) -> Tensor:
            # A time is t + c h, so rounding alone may carry it beyond t_next.
            when = now.clamp(t, t_next).to(state.dtype).expand(state.shape[0])
            return dynamics(when, state, label)

        known = [slope(ends[0], z)]

        def remembered(now: Tensor, state: Tensor) -> Tensor:
            return known.pop() if known and state is z else slope(now, state)

        first = _first_step(
            slope, ends, z, known[0], self.atol + self.rtol * z.abs(), _ORDERS[self.method]
        )
        # Without step_t the last inner step may reach beyond t_next, where nothing is defined.
        options = {"step_t": ends[1:], "first_step": first}
        try:
            path = odeint(
                remembered,
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


def _first_step(
    slope: Callable[[Tensor, Tensor], Tensor],
    ends: Tensor,
    z: Tensor,
    start: Tensor,
    tolerance: Tensor,
    order: int,
) -> Tensor:
    """Choose the first inner step, which never looks beyond the end.

    The rule is torchdiffeq's own, except that its trial step is not bounded: where the slope is
    small at first, it evaluates far outside the interval.

    References:
        Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, section II.4.
    """

    def size(values: Tensor) -> Tensor:
        return (values / tolerance).square().mean().sqrt().to(ends)

    length = ends[1] - ends[0]
    here, speed = size(z), size(start)
    trial = torch.where((here < _TINY) | (speed < _TINY), 1e-6, 0.01 * here / speed).minimum(length)
    bend = size(slope(ends[0] + trial, z + trial.to(z) * start) - start) / trial
    steepest = torch.maximum(speed, bend)
    step = torch.where(
        steepest <= 1e-15, (1e-3 * trial).clamp(min=1e-6), (0.01 / steepest) ** (1 / order)
    )
    return torch.minimum(100 * trial, step).minimum(length)
