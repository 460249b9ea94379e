r"""Exact conversion between what a network may predict, from the coefficients of the path alone.

Velocity, drift, x1, x0, noise and score are linear in ``(z0, z1, eps)``, so their means given
``z_t`` are linear in the posterior means, which obey one identity:
``z_t = alpha E[z0] + beta E[z1] + gamma E[eps]``. One kind gives another, ``B = a A + b z_t``,
exactly when the row of B is in the span of the rows of A and of ``z_t``.

Three spaces of rows occur. Without noise (gamma = 0) the basis is ``(z0, z1)``. With noise it is
``(z0, z1, gamma eps)``; two unknowns remain, so less can be converted. With noise and a standard
normal source that is independent of the data, ``n = alpha z0 + gamma eps`` is one Gaussian and the
basis is ``(n, z1)``: everything converts again.

An entry of a row is a number where it is the same on every path, and a tensor where it depends on
t. Entries of a prediction may be infinite at the ends (the drift at t = 1), and the conversion is
finite all the same wherever its limit is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from precond_gm.errors import IncompatiblePartsError
from precond_gm.numerics.rows import expand
from precond_gm.values import Coefficients, TargetKind

__all__ = ["Affine", "check_conversion", "conversion", "noise_rate"]

Entry: TypeAlias = "Tensor | float"
Row = tuple[Entry, ...]
RowOf = Callable[[TargetKind, Coefficients], "Row | None"]
_LARGE = 1e18  # its square is finite in float32


@dataclass(frozen=True)
class Affine:
    """``B = scale * A + shift * z_t``, one pair of numbers per row.

    Attributes:
        scale: Factor of the prediction; its square is the implied weight of the loss.
        shift: Factor of ``z_t``.
    """

    scale: Tensor
    shift: Tensor

    def shrink(self, clamp: float) -> Tensor:
        """Return what, times the scale, is at most ``1 / clamp`` in size; 1 where it is already.

        Args:
            clamp: Smallest denominator, positive. From x1 to velocity on the straight line, or to
                drift on the bridge, it holds ``1 - t`` at this or more.
        """
        return 1 / (clamp * self.scale.abs()).clamp(min=1)

    def times(self, factor: Tensor) -> Affine:
        """Return the map followed by a factor, one per row."""
        return Affine(self.scale * factor, self.shift * factor)

    def __call__(self, prediction: Tensor, z: Tensor) -> Tensor:
        """Convert a prediction at the points ``z``."""
        scale, shift = self.scale.to(z.dtype), self.shift.to(z.dtype)
        return torch.addcmul(expand(shift, z) * z, expand(scale, z), prediction)


def conversion(
    c: Coefficients, have: TargetKind, want: TargetKind, *, gaussian_source: bool = False
) -> Affine:
    """Return the map from ``have`` to ``want`` at the times of ``c``, without a look at values.

    Args:
        c: Coefficients of the path.
        have: What is predicted.
        want: What is wanted.
        gaussian_source: Whether the source is N(0, I) and independent of the data; the score
            exists on ODE paths, and noise paths convert fully, only then.

    Returns:
        The map; its scale is infinite at times where ``want`` does not follow from ``have``.

    Raises:
        IncompatiblePartsError: One of the two is not defined on this path.

    Example:
        >>> from precond_gm.paths import LinearPath
        >>> c = LinearPath().coefficients(torch.tensor([0.0, 0.75]))
        >>> conversion(c, TargetKind.X1, TargetKind.VELOCITY).scale
        tensor([1., 4.])
    """
    if have is want:
        return Affine(torch.ones_like(c.alpha), torch.zeros_like(c.alpha))
    row, point = _basis(c, gaussian_source)
    return _solve(_row(row, have, c), _row(row, want, c), point, like=c.alpha)


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
    row, point = _basis(c, gaussian_source)
    for a, b, p in zip(_row(row, have, c), _row(row, want, c), point, strict=True):
        parts = torch.stack([found.scale * a, found.shift * p, -b * torch.ones_like(c.alpha)])
        if not bool((parts.sum(0).abs() <= 1e-5 * parts.abs().sum(0)).all()):
            raise IncompatiblePartsError(
                f"{want.value} does not follow from {have.value} and z_t on this path: two "
                f"posterior means are unknown and one was predicted. Train a second head (x0 or "
                f"noise), or use an independent coupling with a standard normal source."
            )


def noise_rate(c: Coefficients) -> Tensor:
    """Return ``gamma' / gamma``: the velocity's factor of ``gamma eps``; 0 where both vanish."""
    return c.variance_slope / (2 * c.variance.clamp_min(torch.finfo(c.variance.dtype).tiny))


def _basis(c: Coefficients, gaussian_source: bool) -> tuple[RowOf, Row]:
    """Return the function from kinds to their rows, and the row of ``z_t``."""
    if c.has_noise and gaussian_source:
        return _merged, (1.0, c.beta)
    if c.has_noise:
        return _full, (c.alpha, c.beta, 1.0)
    return (_noiseless_gaussian if gaussian_source else _noiseless), (c.alpha, c.beta)


def _row(row: RowOf, kind: TargetKind, c: Coefficients) -> Row:
    found = row(kind, c)
    if found is None:
        raise IncompatiblePartsError(_undefined(kind, c.has_noise))
    return found


def _noiseless(kind: TargetKind, c: Coefficients) -> Row | None:
    if kind is TargetKind.X1:
        return 0.0, 1.0
    if kind is TargetKind.X0:
        return 1.0, 0.0
    if kind is TargetKind.VELOCITY:
        return c.alpha_slope, c.beta_slope
    return None


def _noiseless_gaussian(kind: TargetKind, c: Coefficients) -> Row | None:
    return (-1 / c.alpha, 0.0) if kind is TargetKind.SCORE else _noiseless(kind, c)


def _full(kind: TargetKind, c: Coefficients) -> Row | None:
    if kind is TargetKind.X1:
        return 0.0, 1.0, 0.0
    if kind is TargetKind.X0:
        return 1.0, 0.0, 0.0
    if kind is TargetKind.NOISE:
        return 0.0, 0.0, c.variance.rsqrt()
    if kind is TargetKind.SCORE:
        return 0.0, 0.0, -1 / c.variance
    if kind is TargetKind.VELOCITY:
        return c.alpha_slope, c.beta_slope, noise_rate(c)
    return None if c.drift_rate is None else (c.alpha_slope, c.beta_slope, c.drift_rate)


def _merged(kind: TargetKind, c: Coefficients) -> Row | None:
    if kind is TargetKind.X1:
        return 0.0, 1.0
    total = c.alpha.square() + c.variance  # variance of n
    if kind is TargetKind.X0:
        return c.alpha / total, 0.0
    if kind is TargetKind.NOISE:
        return c.variance.sqrt() / total, 0.0
    if kind is TargetKind.SCORE:
        return -1 / total, 0.0
    half_slope = c.alpha * c.alpha_slope + c.variance_slope / 2
    if kind is TargetKind.VELOCITY:
        return half_slope / total, c.beta_slope
    if c.drift_rate is None:
        return None
    return (half_slope - c.diffusion**2 / 2) / total, c.beta_slope


def _solve(have: Row, want: Row, point: Row, *, like: Tensor) -> Affine:
    """Solve ``want = scale * have + shift * point`` in the last two coordinates."""
    entry = _shared_entry(have, want)
    if entry is not None:  # multiples of each other: z_t is not needed, even where it is parallel
        return Affine(want[entry] / have[entry] * torch.ones_like(like), torch.zeros_like(like))
    (h0, h1), (w0, w1), (p0, p1) = map(_bounded, have[-2:]), want[-2:], point[-2:]
    det = _cross(h1, p0, h0, p1)
    if not isinstance(det, Tensor):
        det = torch.full_like(like, det)
    return Affine(_cross(w1, p0, w0, p1) / det, _cross(h1, w0, h0, w1) / det)


def _cross(a: Entry, b: Entry, c: Entry, d: Entry) -> Entry:
    """Return ``a b - c d`` without an operation for what is 0 or 1 at all times."""
    first, second = _product(a, b), _product(c, d)
    if _is(second, 0):
        return first
    return -second if _is(first, 0) else first - second


def _product(a: Entry, b: Entry) -> Entry:
    if _is(a, 0) or _is(b, 0):
        return 0.0
    if _is(a, 1):
        return b
    return a if _is(b, 1) else a * b


def _is(entry: Entry, number: float) -> bool:
    """Whether an entry is this number on every path; tensors are not looked into."""
    return not isinstance(entry, Tensor) and entry == number


def _bounded(entry: Entry) -> Entry:
    """Bound what is infinite at an end, so that quotients of it reach their limit there."""
    return entry.clamp(-_LARGE, _LARGE) if isinstance(entry, Tensor) else entry


def _shared_entry(have: Row, want: Row) -> int | None:
    """Return the only entry of both rows that is not identically zero, if it is the same one."""
    entries = [
        [i for i, value in enumerate(row) if isinstance(value, Tensor) or value != 0]
        for row in (have, want)
    ]
    return entries[0][0] if entries[0] == entries[1] and len(entries[0]) == 1 else None


def _undefined(kind: TargetKind, noisy: bool) -> str:
    if kind is TargetKind.NOISE:
        return "noise is not defined on a path with gamma = 0. Predict x0 or x1 instead."
    if kind is TargetKind.DRIFT:
        return "drift is not defined on an ODE path (diffusion 0). Predict the velocity instead."
    return (
        f"{kind.value} is not known on this path unless the source is a standard normal that is "
        f"independent of the data. Use the coupling 'independent', or predict velocity or x1."
    )
