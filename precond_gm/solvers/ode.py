"""Explicit Runge-Kutta steps for ODE paths, by order: Euler 1, Heun and midpoint 2, RK4 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from precond_gm.solvers.base import AbstractSolver, euler_step, evaluate
from precond_gm.values import Dynamics, TargetKind

__all__ = ["RK4", "Euler", "Heun", "Midpoint"]

_VELOCITY = frozenset({TargetKind.VELOCITY})


@final
@dataclass(frozen=True)
class Euler(AbstractSolver):
    """Euler's step, order 1: ``z + h v(t, z)``. It never evaluates at the end of the step.

    Example:
        >>> import torch
        >>> from precond_gm.solvers import integrate
        >>> times = torch.linspace(0, 1, 11)
        >>> end = integrate(lambda t, z, label=None: -z, Euler(), times, torch.ones(1, 1)).final
        >>> round(float(end), 6) == round(0.9**10, 6)
        True
    """

    accepts: ClassVar[frozenset[TargetKind]] = _VELOCITY

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
        """Advance by one Euler step."""
        return euler_step(dynamics, t, t_next, z, label, diffusion=diffusion, increment=increment)


@final
@dataclass(frozen=True)
class Heun(AbstractSolver):
    """Heun's step, order 2: the mean of the slopes at both ends of an Euler step.

    It evaluates at ``t_next``: where the dynamics is singular at 1, ask ``integrate`` for
    ``last_step="euler"``.

    References:
        Karras et al., arXiv 2206.00364, algorithm 1.
    """

    accepts: ClassVar[frozenset[TargetKind]] = _VELOCITY
    evals_per_step: ClassVar[int | None] = 2

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
        """Advance by one Heun step."""
        h = t_next - t
        first = evaluate(dynamics, t, z, label)
        second = evaluate(dynamics, t_next, torch.add(z, first, alpha=h), label)
        return torch.add(z, first + second, alpha=h / 2)


@final
@dataclass(frozen=True)
class Midpoint(AbstractSolver):
    """Midpoint step, order 2; it never evaluates at the end of the step."""

    accepts: ClassVar[frozenset[TargetKind]] = _VELOCITY
    evals_per_step: ClassVar[int | None] = 2

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
        """Advance by one midpoint step."""
        h = t_next - t
        middle = torch.add(z, evaluate(dynamics, t, z, label), alpha=h / 2)
        return torch.add(z, evaluate(dynamics, t + h / 2, middle, label), alpha=h)


@final
@dataclass(frozen=True)
class RK4(AbstractSolver):
    """The classical Runge-Kutta step, order 4; it evaluates at the end of the step."""

    accepts: ClassVar[frozenset[TargetKind]] = _VELOCITY
    evals_per_step: ClassVar[int | None] = 4

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
        """Advance by one step of the classical scheme."""
        h = t_next - t
        k1 = evaluate(dynamics, t, z, label)
        k2 = evaluate(dynamics, t + h / 2, torch.add(z, k1, alpha=h / 2), label)
        k3 = evaluate(dynamics, t + h / 2, torch.add(z, k2, alpha=h / 2), label)
        k4 = evaluate(dynamics, t_next, torch.add(z, k3, alpha=h), label)
        return torch.add(z, k1 + 2 * (k2 + k3) + k4, alpha=h / 6)
