r"""Bridges from a standard normal to a law without a density: points, bits, a data set.

Given ``z1`` the path is ``N(t z1, a I)`` with ``a = (1 - t) (1 - t + sigma^2 t)``, so the posterior
mean of z1 is all there is to know: every linear target is ``data p + gain (x - t p)``. Except for
that mean itself, all quantities are singular at t = 1.
"""

from __future__ import annotations

import abc

from torch import Tensor

from precond_gm.closed_form.base import AbstractBridge
from precond_gm.closed_form.targets import LinearTarget
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.rows import expand

__all__ = ["AbstractPinnedBridge", "path_variance"]


class AbstractPinnedBridge(AbstractBridge):
    """Independent ends, source N(0, I), target without a density. One method gives everything."""

    @abc.abstractmethod
    def _posterior_mean(self, t: Tensor, x: Tensor) -> Tensor:
        """Give ``E[z1 | z_t = x]`` (t float64, shape 1 or batch)."""

    def _conditional_mean(
        self, target: LinearTarget, t: Tensor, x: Tensor, label: Tensor | None
    ) -> Tensor:
        mean = self._posterior_mean(t, x)
        if target == LinearTarget(0, 1):
            return mean
        self._require_density(t)
        gain = (target.source * (1 - t) + target.noise_at(t)) / path_variance(t, self.sigma)
        rest = x - expand(t.to(x.dtype), x) * mean
        return target.data * mean + expand(gain.to(x.dtype), x) * rest

    def _require_density(self, t: Tensor) -> None:
        """Refuse t = 1, on the host; on a device what follows is NaN or infinite there."""
        if t.device.type == "cpu" and bool((t >= 1).any()):
            raise InvalidInputError(
                f"t is 1, where {type(self).__name__} is singular: its target has no density, and "
                f"its dynamics no limit. Stop at t < 1, or take the posterior mean, which is "
                f"finite there."
            )


def path_variance(t: Tensor, sigma: float) -> Tensor:
    """Return the variance of ``z_t`` given ``z1`` per coordinate, for a standard normal source."""
    return (1 - t) * ((1 - t) + sigma**2 * t)
