r"""Steps for SDE paths ``dz = b dt + sigma dB`` with constant sigma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from precond_gm.solvers.base import AbstractSolver, euler_step, evaluate
from precond_gm.values import Dynamics, TargetKind

__all__ = ["EulerMaruyama", "StochasticHeun"]

_DRIFT = frozenset({TargetKind.DRIFT})


@final
@dataclass(frozen=True)
class EulerMaruyama(AbstractSolver):
    r"""Euler-Maruyama: ``z + h b(t, z) + sigma (B(t + h) - B(t))``, the scheme of the DFM bounds.

    With sigma = 0 it is Euler's step.

    References:
        Gentiloni-Silveri et al., arXiv 2409.08311, section 3.
    """

    accepts: ClassVar[frozenset[TargetKind]] = _DRIFT

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
        """Advance by one Euler-Maruyama step."""
        return euler_step(dynamics, t, t_next, z, label, diffusion=diffusion, increment=increment)


@final
@dataclass(frozen=True)
class StochasticHeun(AbstractSolver):
    r"""Heun's step with additive noise: weak order 2, two evaluations.

    The same increment serves predictor and corrector, so sigma = 0 gives Heun's step. It evaluates
    at ``t_next``: ask ``integrate`` for ``last_step="euler"`` where the drift is singular at 1.

    References:
        Karras et al., arXiv 2206.00364, section 4 (a relative of it).
    """

    accepts: ClassVar[frozenset[TargetKind]] = _DRIFT
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
        """Advance by one stochastic Heun step."""
        h = t_next - t
        first = evaluate(dynamics, t, z, label)
        noisy = z if increment is None else torch.add(z, increment, alpha=diffusion)
        second = evaluate(dynamics, t_next, torch.add(noisy, first, alpha=h), label)
        return torch.add(noisy, first + second, alpha=h / 2)
