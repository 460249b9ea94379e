r"""The implied weight as text: powers of t where it is that, else the path's schedules and slopes.

With ``z_t`` known, a kind is one unknown, whose coefficient is what is left of its row when
``z_t`` is eliminated. The weight is the square of a quotient of two such coefficients. Without
noise they are products of powers of alpha, beta and ``alpha beta' - alpha' beta``; with noise,
``gamma^2``, ``alpha^2 + gamma^2`` and the numerators of velocity and drift join them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from precond_gm.objectives.expression import Expression, add, is_constant, product, read
from precond_gm.values import Coefficients, TargetKind

__all__ = ["in_powers_of_t", "in_schedules"]

SAME = 1e-9  # relative gap below which two texts are taken for the same function of t


def in_powers_of_t(weight: Tensor, t: Tensor, diffusion: float) -> str:
    """Write a weight as a product of powers of t, 1 - t and two more factors; empty if it is none.

    The two, ``1 + (sigma^2 - 1) t`` (``alpha^2 + gamma^2`` without its zero) and
    ``1 + (sigma^2/2 - 1) t``, occur on the bridge. The powers are found from values and proved by
    them: what is printed agrees to nine digits at all the times.

    Args:
        weight: Implied weight at the times.
        t: Times in (0, 1), in float64.
        diffusion: Scale sigma of the path's own SDE; 0 without.

    Example:
        >>> t = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
        >>> in_powers_of_t((t / (1 - t)) ** 2, t, 0.0)
        't^2/(1-t)^2'
    """
    bases = {"t": t, "(1-t)": 1 - t}
    square = diffusion**2
    if square:
        for slope in (square - 1, square / 2 - 1):
            if abs(slope) > SAME:
                bases[f"(1{_term(slope)})"] = 1 + slope * t
    logs = torch.stack([torch.ones_like(t), *(base.log() for base in bases.values())], 1)
    value = weight.log()
    fit = torch.linalg.lstsq(logs, value[:, None]).solution[:, 0]
    powers = (2 * fit[1:]).round() / 2
    rest = value - logs[:, 1:] @ powers
    if not float(rest.max() - rest.min()) <= SAME:
        return ""
    return product(math.exp(float(rest[0])), dict(zip(bases, powers.tolist(), strict=True)))


def in_schedules(
    c: Coefficients,
    have: TargetKind,
    want: TargetKind,
    *,
    gaussian_source: bool,
    known: Mapping[str, str],
) -> str:
    """Write the implied weight of a cell in the schedules of the path; it exists for every cell.

    A space is a product, and a prime a slope in t.

    Args:
        c: Coefficients at times inside (0, 1), by whose values equal terms are recognised.
        have: What the network estimates.
        want: Where the loss compares.
        gaussian_source: Whether the source is N(0, I) and independent of the data.
        known: Texts of ``alpha``, ``alpha'``, ``beta``, ``beta'``, ``gamma^2``, ``(gamma^2)'`` in
            t; a symbol without one stands for itself.

    Example:
        >>> from precond_gm.paths import Trigonometric
        >>> path, t = Trigonometric(), torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
        >>> cell = TargetKind.X1, TargetKind.VELOCITY
        >>> more = {"gaussian_source": False, "known": path.formulas}
        >>> in_schedules(path.coefficients(t), *cell, **more)
        '0.25 pi^2/cos(pi t/2)^2'
    """
    left = _without_noise if not c.has_noise else _merged if gaussian_source else _with_noise
    above, below = (left(kind, _Symbols(c, known)) for kind in (want, have))
    return above.over(below).to(2).text()


class _Symbols:
    """The schedules of a path, and what is made of them."""

    def __init__(self, c: Coefficients, known: Mapping[str, str]) -> None:
        values = {
            "alpha": c.alpha,
            "alpha'": c.alpha_slope,
            "beta": c.beta,
            "beta'": c.beta_slope,
            "gamma^2": c.variance,
            "(gamma^2)'": c.variance_slope,
        }
        texts = {name: read(known.get(name, name), value) for name, value in values.items()}
        self.a, self.a_slope, self.b, self.b_slope, self.g, self.g_slope = texts.values()
        self.one = read("1", torch.ones_like(c.alpha))
        self.sigma_square = c.diffusion**2

    @property
    def wronskian(self) -> Expression:
        """``alpha beta' - alpha' beta``, in fewer symbols where it equals them (vp, warped)."""
        whole = add((1, self.a.times(self.b_slope)), (-1, self.a_slope.times(self.b)))
        for fewer in (self.b_slope, self.b_slope.over(self.a)):
            ratio = whole.value / fewer.value
            if bool(torch.isfinite(ratio).all()) and is_constant(ratio):
                return fewer.scaled(float(ratio[0]))
        return whole

    @property
    def total(self) -> Expression:
        """``alpha^2 + gamma^2``, the variance of ``z_t`` that is noise."""
        return add((1, self.a.to(2)), (1, self.g))

    def numerator(self, is_drift: bool, with_source: bool) -> Expression:
        """Coefficient of x1 in velocity or drift, times ``total``; times ``gamma^2`` alone."""
        terms = [(1.0, self.g.times(self.b_slope)), (-0.5, self.b.times(self.g_slope))]
        if with_source:
            terms.insert(0, (1.0, self.a.times(self.wronskian)))
        if is_drift:
            terms.append((self.sigma_square / 2, self.b))
        return add(*terms)


def _without_noise(kind: TargetKind, s: _Symbols) -> Expression:
    if kind is TargetKind.X1:
        return s.a
    if kind is TargetKind.X0:
        return s.b
    return s.wronskian if kind is TargetKind.VELOCITY else s.b.over(s.a)


def _merged(kind: TargetKind, s: _Symbols) -> Expression:
    """Noise and source are one Gaussian, of variance ``alpha^2 + gamma^2``."""
    if kind is TargetKind.X1:
        return s.one
    if kind is TargetKind.X0:
        return s.a.times(s.b).over(s.total)
    if kind is TargetKind.NOISE:
        return s.g.to(0.5).times(s.b).over(s.total)
    if kind is TargetKind.SCORE:
        return s.b.over(s.total)
    return s.numerator(kind is TargetKind.DRIFT, True).over(s.total)


def _with_noise(kind: TargetKind, s: _Symbols) -> Expression:
    """Noise apart from the source: the coefficient of x1 when the noise is eliminated."""
    if kind is TargetKind.X1:
        return s.one
    if kind is TargetKind.NOISE:
        return s.b.over(s.g.to(0.5))
    if kind is TargetKind.SCORE:
        return s.b.over(s.g)
    return s.numerator(kind is TargetKind.DRIFT, False).over(s.g)


def _term(slope: float) -> str:
    """Write ``slope t`` with its sign.

    Example:
        >>> _term(1.0), _term(-0.5)
        ('+t', '-0.5t')
    """
    return f"{slope:+.4g}t" if abs(abs(slope) - 1) > SAME else f"{slope:+.0f}t".replace("1", "")
