r"""Exact conversion between what a network may predict, from the coefficients of the path alone.

Velocity, drift, x1, x0, noise and score are linear in ``(z0, z1, eps)``, so their means given
``z_t`` are linear in the posterior means, which obey one identity:
``z_t = alpha E[z0] + beta E[z1] + gamma E[eps]``. One kind gives another, ``B = a A + b z_t``,
exactly when the row of B is in the span of the rows of A and of ``z_t``.

Three spaces of rows occur. Without noise (gamma = 0) the basis is ``(z0, z1)``. With noise it is
``(z0, z1, gamma eps)``; two unknowns remain, so less can be converted. With noise and a standard
normal source that is independent of the data, ``n = alpha z0 + gamma eps`` is one Gaussian and the
basis is ``(n, z1)``: everything converts again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.errors import IncompatiblePartsError
from precond_gm.numerics.rows import expand
from precond_gm.values import Coefficients, TargetKind

__all__ = ["Affine", "check_conversion", "conversion"]

Row = tuple[Tensor, ...]


@dataclass(frozen=True)
class Affine:
    """``B = scale * A + shift * z_t``, one pair of numbers per row.

    Attributes:
        scale: Factor of the prediction; its square is the implied weight of the loss.
        shift: Factor of ``z_t``.
    """

    scale: Tensor
    shift: Tensor

    def __call__(self, prediction: Tensor, z: Tensor) -> Tensor:
        """Convert a prediction at the points ``z``."""
        scale, shift = self.scale.to(z.dtype), self.shift.to(z.dtype)
        return expand(scale, z) * prediction + expand(shift, z) * z


def conversion(
    c: Coefficients, have: TargetKind, want: TargetKind, *, gaussian_source: bool = False
) -> Affine:
    """Return the map from ``have`` to ``want`` at the times of ``c``.

    Args:
        c: Coefficients of the path.
        have: What is predicted.
        want: What is wanted.
        gaussian_source: Whether the source is N(0, I) and independent of the data; the score
            exists on ODE paths, and noise paths convert fully, only then.

    Raises:
        IncompatiblePartsError: One of the two is not defined on this path.
    """
    ones, zeros = torch.ones_like(c.alpha), torch.zeros_like(c.alpha)
    if have is want:
        return Affine(ones, zeros)
    rows, point = _basis(c, gaussian_source)
    for kind in (have, want):
        if kind not in rows:
            raise IncompatiblePartsError(_undefined(kind, c.has_noise, gaussian_source))
    return _solve(rows[have], rows[want], point)


def check_conversion(
    c: Coefficients, have: TargetKind, want: TargetKind, *, gaussian_source: bool = False
) -> None:
    """Check, at interior times, that ``want`` really follows from ``have`` and ``z_t``.

    ``conversion`` itself does not look at values, so that it never waits for the device.

    Raises:
        IncompatiblePartsError: It does not; the message says what is missing.
    """
    found = conversion(c, have, want, gaussian_source=gaussian_source)
    if have is want:
        return
    rows, point = _basis(c, gaussian_source)
    for a, b, p in zip(rows[have], rows[want], point, strict=True):
        size = b.abs() + (found.scale * a).abs() + (found.shift * p).abs()
        wrong = (found.scale * a + found.shift * p - b).abs() > 1e-5 * size
        if bool(wrong.any()) or not bool(torch.isfinite(found.scale).all()):
            raise IncompatiblePartsError(
                f"{want.value} does not follow from {have.value} and z_t on this path: two "
                f"posterior means are unknown and one was predicted. Train a second head (x0 or "
                f"noise), or use an independent coupling with a standard normal source."
            )


def _basis(c: Coefficients, gaussian_source: bool) -> tuple[dict[TargetKind, Row], Row]:
    """Return the row of every kind that exists, and the row of ``z_t``."""
    ones = torch.ones_like(c.alpha)
    if c.has_noise and gaussian_source:
        return _merged(c), (ones, c.beta)
    if c.has_noise:
        return _full(c), (c.alpha, c.beta, ones)
    return _noiseless(c, gaussian_source), (c.alpha, c.beta)


def _noiseless(c: Coefficients, gaussian_source: bool) -> dict[TargetKind, Row]:
    ones, zeros = torch.ones_like(c.alpha), torch.zeros_like(c.alpha)
    rows: dict[TargetKind, Row] = {
        TargetKind.X1: (zeros, ones),
        TargetKind.X0: (ones, zeros),
        TargetKind.VELOCITY: (c.alpha_slope, c.beta_slope),
    }
    if gaussian_source:
        rows[TargetKind.SCORE] = (-1 / c.alpha, zeros)
    return rows


def _full(c: Coefficients) -> dict[TargetKind, Row]:
    ones, zeros = torch.ones_like(c.alpha), torch.zeros_like(c.alpha)
    rows: dict[TargetKind, Row] = {
        TargetKind.X1: (zeros, ones, zeros),
        TargetKind.X0: (ones, zeros, zeros),
        TargetKind.NOISE: (zeros, zeros, c.variance.rsqrt()),
        TargetKind.SCORE: (zeros, zeros, -1 / c.variance),
        TargetKind.VELOCITY: (c.alpha_slope, c.beta_slope, c.variance_slope / (2 * c.variance)),
    }
    if c.drift_rate is not None:
        rows[TargetKind.DRIFT] = (c.alpha_slope, c.beta_slope, c.drift_rate)
    return rows


def _merged(c: Coefficients) -> dict[TargetKind, Row]:
    ones, zeros = torch.ones_like(c.alpha), torch.zeros_like(c.alpha)
    total = c.alpha.square() + c.variance  # variance of n
    half_slope = c.alpha * c.alpha_slope + c.variance_slope / 2
    rows: dict[TargetKind, Row] = {
        TargetKind.X1: (zeros, ones),
        TargetKind.X0: (c.alpha / total, zeros),
        TargetKind.NOISE: (c.variance.sqrt() / total, zeros),
        TargetKind.SCORE: (-1 / total, zeros),
        TargetKind.VELOCITY: (half_slope / total, c.beta_slope),
    }
    if c.drift_rate is not None:
        drift_slope = half_slope - c.diffusion**2 / 2
        rows[TargetKind.DRIFT] = (drift_slope / total, c.beta_slope)
    return rows


def _solve(have: Row, want: Row, point: Row) -> Affine:
    """Solve ``want = scale * have + shift * point`` from its last two coordinates."""
    (h0, h1), (w0, w1), (p0, p1) = have[-2:], want[-2:], point[-2:]
    det = h1 * p0 - h0 * p1
    return Affine((w1 * p0 - w0 * p1) / det, (h1 * w0 - h0 * w1) / det)


def _undefined(kind: TargetKind, noisy: bool, gaussian_source: bool) -> str:
    if kind is TargetKind.NOISE:
        return "noise is not defined on a path with gamma = 0. Predict x0 or x1 instead."
    if kind is TargetKind.DRIFT:
        return "drift is not defined on an ODE path (diffusion 0). Predict the velocity instead."
    return (
        f"{kind.value} is not known on this path unless the source is a standard normal that is "
        f"independent of the data. Use the coupling 'independent', or predict velocity or x1."
    )
