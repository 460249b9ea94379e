r"""What every exact bridge is: the optimum that a network is trained towards, known in full.

``z_t = (1 - t) z0 + t z1 + sigma sqrt(t (1 - t)) eps``; sigma = 0 is the linear path. A bridge is a
``Dynamics``: calling it gives the drift of its SDE, which for sigma = 0 is the velocity of its ODE.

Values are checked where that costs nothing, on the host. On a device a time outside [0, 1] or a
singular end gives NaN, which the loop reports: looking there would stall the queue.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.closed_form import targets
from precond_gm.closed_form.inputs import as_rows, as_times, check_inside
from precond_gm.closed_form.targets import LinearTarget
from precond_gm.numerics.noise import standard_normal
from precond_gm.numerics.rows import expand
from precond_gm.values import Pairing

__all__ = ["AbstractBridge", "Marginal"]


class AbstractBridge(abc.ABC):
    """Exact path between two laws; all its quantities are callables ``(t, z, label)``.

    ``t`` is one number or one per row, ``z`` has shape ``batch *event``. The result has the dtype
    of ``z``. The law is unconditional: ``label`` is accepted, because solvers pass it, and has no
    effect unless the bridge says otherwise.

    Attributes:
        sigma: Scale of the bridge's noise, 0 for the linear path.
    """

    sigma: float

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """Number of coordinates."""

    @abc.abstractmethod
    def _conditional_mean(
        self, target: LinearTarget, t: Tensor, x: Tensor, label: Tensor | None
    ) -> Tensor:
        """Give the mean of a linear form given ``z_t = x`` (t float64, shape 1 or batch)."""

    @abc.abstractmethod
    def _log_density(self, t: Tensor, x: Tensor) -> Tensor:
        """Give the log-density of z_t at the rows ``x``."""

    @abc.abstractmethod
    def sample_pairs(self, n: int, *, generator: torch.Generator | None = None) -> Pairing:
        """Draw ``n`` coupled ends, float64, shape ``n dim``."""

    @property
    def diffusion(self) -> float:
        """Scale of the noise that solvers add to the drift; the same as ``sigma``."""
        return self.sigma

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dim={self.dim}, sigma={self.sigma:.4g})"

    def __call__(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the drift: a bridge is a ``Dynamics``."""
        return self.drift(t, z, label)

    def drift(self, t: Tensor | float, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return ``b_t(z) = (E[z1 | z] - z) / (1 - t)``; the velocity when sigma = 0."""
        return self._mean(targets.drift(self.sigma), t, z, label)

    def velocity(self, t: Tensor | float, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the probability-flow velocity ``b - (sigma^2 / 2) score``."""
        return self._mean(targets.velocity(self.sigma), t, z, label)

    def score(self, t: Tensor | float, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the gradient of the log-density of z_t."""
        return self._mean(targets.SCORE, t, z, label)

    def backward_drift(self, t: Tensor | float, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return ``(E[z0 | z] - z) / t``, the drift of the SDE run from t = 1 down to 0."""
        return self._mean(targets.backward_drift(self.sigma), t, z, label)

    def posterior_mean(self, t: Tensor | float, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return ``E[z1 | z_t = z]``."""
        return self._mean(targets.POSTERIOR1, t, z, label)

    def posterior_mean0(self, t: Tensor | float, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return ``E[z0 | z_t = z]``."""
        return self._mean(targets.POSTERIOR0, t, z, label)

    def log_density(self, t: Tensor | float, z: Tensor) -> Tensor:
        """Return the log-density of z_t, shape batch."""
        x = as_rows(z, self.dim)
        return self._log_density(as_times(t, x), x)

    def marginal(self, t: Tensor | float) -> Marginal:
        """Return the law of z_t, with ``log_prob`` and ``sample``."""
        check_inside(torch.as_tensor(t))
        return Marginal(self, t)

    def sample(
        self, t: Tensor | float, n: int, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw ``n`` rows of z_t, float64, shape ``n dim``."""
        pairs = self.sample_pairs(n, generator=generator)
        t = expand(as_times(t, pairs.z1), pairs.z1)
        z = (1 - t) * pairs.z0 + t * pairs.z1
        return z + self.sigma * (t * (1 - t)).sqrt() * standard_normal(z, generator)

    def _mean(
        self, target: LinearTarget, t: Tensor | float, z: Tensor, label: Tensor | None
    ) -> Tensor:
        x = as_rows(z, self.dim)
        return self._conditional_mean(target, as_times(t, x), x, label).view_as(z)


@dataclass(frozen=True, eq=False)
class Marginal:
    """Law of z_t of a bridge.

    Attributes:
        bridge: The bridge.
        t: Its time, one number, or one per row.
    """

    bridge: AbstractBridge
    t: Tensor | float

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density of rows, shape batch."""
        return self.bridge.log_density(self.t, z)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``n`` rows, shape ``n dim``."""
        return self.bridge.sample(self.t, n, generator=generator)
