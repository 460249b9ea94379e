r"""Other dynamics with the same marginals: any noise level, and time run backwards."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.values import Dynamics

__all__ = ["NoisyDynamics", "at_noise_level", "reverse_time"]


@dataclass(frozen=True, eq=False)
class NoisyDynamics:
    """Dynamics with the diffusion that belongs to it.

    Attributes:
        dynamics: Drift (velocity where ``diffusion`` is 0).
        diffusion: Scale of the noise, for ``integrate(diffusion=)``.
    """

    dynamics: Dynamics
    diffusion: float


def at_noise_level(velocity: Dynamics, score: Dynamics, level: float) -> NoisyDynamics:
    r"""Return ``dX = (v + e score) dt + sqrt(2 e) dB``, whose marginals are those of the path.

    e = sigma^2 / 2 is the bridge's own SDE, e = 0 the ODE.

    Args:
        velocity: Probability-flow velocity.
        score: Gradient of the log-density of z_t.
        level: The noise level e, 0 or more.

    References:
        Albergo et al., arXiv 2303.08797, equation 2.20 (stochastic interpolants).

    Example:
        >>> import torch
        >>> from precond_gm.closed_form import GaussianBridge
        >>> bridge = GaussianBridge(0.0, 1.0, 1.0, 0.5)
        >>> noisy = at_noise_level(bridge.velocity, bridge.score, 1.0)  # sigma^2 / 2
        >>> t, z = torch.tensor([0.3]), torch.ones(1, 1).double()
        >>> torch.allclose(noisy.dynamics(t, z), bridge.drift(t, z))
        True
    """
    if not math.isfinite(level) or level < 0:
        raise InvalidInputError(f"the noise level is {level}; it is a finite number, 0 or more.")
    if level == 0:
        return NoisyDynamics(velocity, 0.0)

    def drift(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        return velocity(t, z, label) + level * score(t, z, label)

    return NoisyDynamics(drift, math.sqrt(2 * level))


def reverse_time(dynamics: Dynamics) -> Dynamics:
    """Return the dynamics as a function of ``1 - t``, to run from data (0) to noise (1).

    Backward drifts are given in this sense already: their SDE runs down from t = 1. A *velocity*
    has to change its sign as well: ``reverse_time(lambda t, z, label: -velocity(t, z, label))``.

    Example:
        >>> import torch
        >>> from precond_gm.closed_form import GaussianBridge
        >>> bridge = GaussianBridge(0.0, 1.0, 0.0, 0.5)
        >>> to_noise = reverse_time(bridge.backward_drift)
        >>> z = torch.ones(1, 1).double()
        >>> same = bridge.backward_drift(0.75, z)
        >>> torch.equal(to_noise(torch.tensor([0.25]), z), same)
        True
    """

    def reversed_dynamics(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        return dynamics(1 - t, z, label)

    return reversed_dynamics
