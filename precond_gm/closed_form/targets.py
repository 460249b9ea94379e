r"""Every quantity of a bridge as one conditional mean.

Given its pair, each of them is linear in ``(z0, z1, gamma eps)``; given ``z_t = x`` alone it is the
conditional mean of that linear form. So one formula per law gives drift, velocity, score, backward
drift and both posterior means, none of them by subtracting two large numbers near t = 0 or 1:

=============== ====== ====== =======================
quantity        source data   noise (times gamma^2)
=============== ====== ====== =======================
drift           -1     1      ``-sigma^2 t``
velocity        -1     1      ``sigma^2 (1/2 - t)``
backward drift  1      -1     ``-sigma^2 (1 - t)``
score           0      0      ``-1``
E[z1 | x]       0      1      ``0``
E[z0 | x]       1      0      ``0``
=============== ====== ====== =======================
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = [
    "POSTERIOR0",
    "POSTERIOR1",
    "SCORE",
    "LinearTarget",
    "backward_drift",
    "drift",
    "velocity",
]


@dataclass(frozen=True)
class LinearTarget:
    r"""The linear form ``source z0 + data z1 + (noise(t) / gamma^2) gamma eps``.

    Attributes:
        source: Factor of z0.
        data: Factor of z1.
        noise: Value of ``noise(t)`` at t = 0; the covariance of the form's last term with z_t.
        noise_slope: Slope of ``noise(t)``.
    """

    source: float
    data: float
    noise: float = 0.0
    noise_slope: float = 0.0

    def noise_at(self, t: Tensor) -> Tensor:
        """Return ``noise(t)``."""
        return self.noise + self.noise_slope * t


SCORE = LinearTarget(0, 0, noise=-1)
POSTERIOR1 = LinearTarget(0, 1)
POSTERIOR0 = LinearTarget(1, 0)


def drift(sigma: float) -> LinearTarget:
    """Return ``(z1 - z_t) / (1 - t)`` as a linear form."""
    return LinearTarget(-1, 1, noise_slope=-(sigma**2))


def velocity(sigma: float) -> LinearTarget:
    """Return the time derivative of ``z_t`` as a linear form."""
    return LinearTarget(-1, 1, noise=sigma**2 / 2, noise_slope=-(sigma**2))


def backward_drift(sigma: float) -> LinearTarget:
    """Return ``(z0 - z_t) / t`` as a linear form."""
    return LinearTarget(1, -1, noise=-(sigma**2), noise_slope=sigma**2)
