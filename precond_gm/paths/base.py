"""What every path is: the conditional law of z_t given the pair, with its regression target."""

from __future__ import annotations

import abc
from typing import ClassVar

import torch
from torch import Tensor

from precond_gm.errors import IncompatiblePartsError, InvalidInputError
from precond_gm.numerics.conversion import noise_rate
from precond_gm.numerics.covariance import EndCovariance
from precond_gm.numerics.noise import standard_normal
from precond_gm.numerics.rows import expand
from precond_gm.values import Coefficients, Pairing, PathSample, TargetKind

__all__ = ["AbstractPath", "standard_normal"]


class AbstractPath(abc.ABC):
    r"""Law of ``z_t = alpha(t) z0 + beta(t) z1 + gamma(t) eps`` given ``(z0, z1)``.

    Two things are required: ``kind`` and ``coefficients``. Sampling, every target and the
    covariance of z_t follow.

    Attributes:
        kind: The dynamics of the path, ``VELOCITY`` (ODE) or ``DRIFT`` (SDE).
        default_prediction: What a network should predict: aligned and bounded for all t.
        t_max: Largest time drawn in training and reached by solvers when ``kind`` itself is
            predicted; 1 where that is harmless.
        antithetic: Whether ``sample`` gives two rows for each pair, with opposite noise.
    """

    kind: ClassVar[TargetKind]
    default_prediction: ClassVar[TargetKind]
    t_max: float = 1.0
    antithetic: bool = False

    @abc.abstractmethod
    def coefficients(self, t: Tensor) -> Coefficients:
        """Return alpha, beta, gamma squared and their slopes at times ``t`` (shape batch)."""

    @property
    def diffusion(self) -> float:
        """Scale sigma of the path's own SDE; zero on ODE paths."""
        return 0.0

    @property
    def formulas(self) -> dict[str, str]:
        """Texts in t of what ``coefficients`` returns, for reports; what has none is left out.

        The keys are ``alpha``, ``alpha'``, ``beta``, ``beta'``, ``gamma^2`` and ``(gamma^2)'``. A
        space is a product: ``{"beta": "sin(pi t/2)", "beta'": "pi/2 cos(pi t/2)"}``.
        """
        return {}

    @property
    def has_noise(self) -> bool:
        """Whether gamma is not identically zero."""
        return self.diffusion > 0

    def covariance(self, t: Tensor, ends: EndCovariance) -> Tensor:
        """Return Sigma_t = Cov(z_t) at times ``t``, exactly, from the covariance of the ends."""
        return ends.at(self.coefficients(t))

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

        Returns:
            One row for each pair; two, all first ones before all second ones, if the path is
            antithetic. Take times and labels from it, not from what went in.

        Raises:
            IncompatiblePartsError: The target is not defined on this path.
            InvalidInputError: Ends of different shapes, or another number of times than rows.
        """
        _check_shapes(pairing, t)
        noise = standard_normal(pairing.z1, generator) if self.has_noise else None
        if self.antithetic and noise is not None:
            pairing, t, noise = _twice(pairing), torch.cat((t, t)), torch.cat((noise, -noise))
        kind = target or self.kind
        c = self.coefficients(t)
        gamma = c.variance if noise is None else c.variance.sqrt()  # not used without noise
        z_t = _combine(c.alpha, c.beta, gamma, pairing, noise)
        value = self._target(kind, pairing, noise, c)
        return PathSample(t, z_t, value, kind, pairing.label, c, pairing.weight)

    def _target(
        self, kind: TargetKind, pairing: Pairing, noise: Tensor | None, c: Coefficients
    ) -> Tensor:
        if kind is TargetKind.X1:
            return pairing.z1
        if kind is TargetKind.X0:
            return pairing.z0
        if kind is TargetKind.VELOCITY and noise is None:
            return _combine(c.alpha_slope, c.beta_slope, c.variance, pairing, noise)
        if kind is TargetKind.SCORE and noise is None:  # of a standard normal source
            return -pairing.z0 / expand(c.alpha, pairing.z0).to(pairing.z0.dtype)
        if noise is None:
            raise IncompatiblePartsError(
                f"{kind.value} is not defined on {self!r}, which has no noise of its own "
                f"(gamma = 0). Use velocity, x1 or x0 there, or the score of a normal source."
            )
        gamma = c.variance.sqrt()
        if kind is TargetKind.VELOCITY:
            return _combine(c.alpha_slope, c.beta_slope, noise_rate(c) * gamma, pairing, noise)
        if kind is TargetKind.NOISE:
            return noise
        if kind is TargetKind.SCORE:
            return -noise / expand(gamma, noise).to(noise.dtype)
        if c.drift_rate is None:
            raise IncompatiblePartsError(
                f"drift is not defined on {self!r}, an ODE path. Use velocity there."
            )
        return _combine(c.alpha_slope, c.beta_slope, c.drift_rate * gamma, pairing, noise)


def _combine(a: Tensor, b: Tensor, g: Tensor, pairing: Pairing, noise: Tensor | None) -> Tensor:
    """Return ``a z0 + b z1 + g eps`` in the dtype of the rows."""
    z0, z1 = pairing.z0, pairing.z1
    value = torch.addcmul(expand(a, z1) * z0, expand(b, z1), z1)  # one pass over the rows less
    if noise is not None:
        value = torch.addcmul(value, expand(g, z1), noise)
    return value.to(z1.dtype)


def _twice(pairing: Pairing) -> Pairing:
    label, weight = pairing.label, pairing.weight
    return Pairing(
        torch.cat((pairing.z0, pairing.z0)),
        torch.cat((pairing.z1, pairing.z1)),
        None if label is None else torch.cat((label, label)),
        None if weight is None else torch.cat((weight, weight)),
    )


def _check_shapes(pairing: Pairing, t: Tensor) -> None:
    z0, z1 = pairing.z0, pairing.z1
    if z0.shape != z1.shape or t.shape != z1.shape[:1]:
        raise InvalidInputError(
            f"a path takes ends of the same shape (batch, *event) and times of shape (batch,); got "
            f"{tuple(z0.shape)}, {tuple(z1.shape)} and {tuple(t.shape)}. For one time, write "
            f"t.expand({z1.shape[0]})."
        )
