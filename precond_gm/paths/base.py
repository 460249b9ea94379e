"""What every path is: the conditional law of z_t given the pair, with its regression target."""

from __future__ import annotations

import abc
from typing import ClassVar

import torch
from torch import Tensor

from precond_gm.errors import IncompatiblePartsError
from precond_gm.numerics.conversion import noise_rate
from precond_gm.numerics.noise import standard_normal
from precond_gm.numerics.rows import expand
from precond_gm.values import Coefficients, Pairing, PathSample, TargetKind

__all__ = ["AbstractPath", "standard_normal"]


class AbstractPath(abc.ABC):
    r"""Law of ``z_t = alpha(t) z0 + beta(t) z1 + gamma(t) eps`` given ``(z0, z1)``.

    Two things are required: ``kind`` and ``coefficients``. Sampling and every target follow.

    Attributes:
        kind: The dynamics of the path, ``VELOCITY`` (ODE) or ``DRIFT`` (SDE).
        default_prediction: What a network should predict: aligned and bounded for all t.
        t_max: Largest time drawn in training and reached by solvers when ``kind`` itself is
            predicted; 1 where that is harmless.
    """

    kind: ClassVar[TargetKind]
    default_prediction: ClassVar[TargetKind]
    t_max: float = 1.0

    @abc.abstractmethod
    def coefficients(self, t: Tensor) -> Coefficients:
        """Return alpha, beta, gamma squared and their slopes at times ``t`` (shape batch)."""

    @property
    def diffusion(self) -> float:
        """Scale sigma of the path's own SDE; zero on ODE paths."""
        return 0.0

    def sample(
        self,
        pairing: Pairing,
        t: Tensor,
        *,
        target: TargetKind | None = None,
        generator: torch.Generator | None = None,
    ) -> PathSample:
        """Draw a point on each pair's path at its time.

        Args:
            pairing: Coupled ends.
            t: Times in [0, 1], shape batch.
            target: Which target to give; the path's own ``kind`` by default.
            generator: Source of the path's noise.

        Raises:
            IncompatiblePartsError: The target is not defined on this path.
        """
        kind = target or self.kind
        z0, z1 = pairing.z0, pairing.z1
        c = self.coefficients(t)
        z_t = _mixed(c.alpha, z0, c.beta, z1)
        noise = None
        if self.has_noise:
            noise = standard_normal(z1, generator)
            z_t = torch.addcmul(z_t, expand(c.variance.sqrt(), z1), noise)
        value = self._target(kind, z0, z1, noise, c)
        return PathSample(t, z_t, value, kind, pairing.label, c, pairing.weight)

    @property
    def has_noise(self) -> bool:
        """Whether gamma is not identically zero."""
        return self.diffusion > 0

    def _target(
        self,
        kind: TargetKind,
        z0: Tensor,
        z1: Tensor,
        noise: Tensor | None,
        c: Coefficients,
    ) -> Tensor:
        if kind is TargetKind.X1:
            return z1
        if kind is TargetKind.X0:
            return z0
        if kind is TargetKind.VELOCITY:
            velocity = _mixed(c.alpha_slope, z0, c.beta_slope, z1)
            if noise is None:
                return velocity
            return velocity + expand(noise_rate(c) * c.variance.sqrt(), z1) * noise
        if noise is None:
            raise IncompatiblePartsError(
                f"{kind.value} is not defined on {self!r}, which has no noise of its own "
                f"(gamma = 0). Use velocity, x1 or x0 there."
            )
        if kind is TargetKind.NOISE:
            return noise
        if kind is TargetKind.SCORE:
            return -noise / expand(c.variance.sqrt(), z1)
        if c.drift_rate is None:
            raise IncompatiblePartsError(f"{self!r} has no drift: it is an ODE path.")
        rate = expand(c.drift_rate * c.variance.sqrt(), z1)
        return expand(c.alpha_slope, z1) * z0 + expand(c.beta_slope, z1) * z1 + rate * noise


def _mixed(a: Tensor, z0: Tensor, b: Tensor, z1: Tensor) -> Tensor:
    """Return ``a z0 + b z1`` in two passes over the rows instead of three."""
    return torch.addcmul(expand(a, z0) * z0, expand(b, z1), z1)
