r"""The weight that a loss space puts on the network's own error.

If ``B = s(t) A + r(t) z_t`` is the conversion from the prediction A to the loss space B, then
``||B - B*||^2 = s(t)^2 ||A - A*||^2``: judging A in the space of B multiplies its own squared
error by ``s(t)^2``. Aligned means s = 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from precond_gm.numerics.conversion import check_conversion, conversion
from precond_gm.objectives.ends import Ends, behaviour, interior
from precond_gm.objectives.formula import in_powers_of_t, in_schedules
from precond_gm.values import Coefficients, TargetKind

__all__ = ["ImpliedWeight", "PathLike", "implied_weight", "target_power"]


@runtime_checkable
class PathLike(Protocol):
    """What an objective needs to know of a path."""

    @property
    def kind(self) -> TargetKind:
        """Velocity or drift."""

    @property
    def default_prediction(self) -> TargetKind:
        """Aligned and bounded on the path."""

    @property
    def t_max(self) -> float:
        """Largest time where the path's own dynamics are predicted."""

    def coefficients(self, t: Tensor) -> Coefficients:
        """Coefficients at times ``t``."""


@dataclass(frozen=True)
class ImpliedWeight:
    """Factor of the prediction's own squared error in a loss space, exact at every t.

    Attributes:
        path: The path.
        prediction: What the network estimates.
        loss_space: Where the loss compares.
        gaussian_source: Whether the source is N(0, I) and independent of the data.
        clamp: The weight is at most ``1 / clamp**2``; 0 for no bound.
    """

    path: PathLike
    prediction: TargetKind
    loss_space: TargetKind
    gaussian_source: bool = False
    clamp: float = 0.0

    def __call__(self, t: Tensor) -> Tensor:
        """Return the implied weight at times in (0, 1)."""
        found = conversion(
            self.path.coefficients(t),
            self.prediction,
            self.loss_space,
            gaussian_source=self.gaussian_source,
        )
        factor = found.shrink(self.clamp) if self.clamp else 1.0
        return (found.scale * factor).square()

    @property
    def is_aligned(self) -> bool:
        """Whether the loss is in the space of the prediction."""
        return self.prediction is self.loss_space

    @cached_property
    def ends(self) -> Ends:
        """Powers at both ends and the supremum."""
        return behaviour(lambda t: self(t).log())

    @property
    def supremum(self) -> float:
        """Largest implied weight over (0, 1), possibly infinite."""
        return self.ends.largest

    @cached_property
    def formula(self) -> str:
        """The weight as a formula in t, or in the path's schedules where it says no more of them.

        A space is a product and a prime a slope in t: ``beta'^2/alpha^4`` on a path of variance
        one. A clamp prints as ``min(..., bound)`` where it acts.
        """
        if self.clamp:
            bare, bound = replace(self, clamp=0.0), 1 / self.clamp**2
            acts = bare.supremum > bound * (1 + 1e-9)
            return f"min({bare.formula}, {bound:.4g})" if acts else bare.formula
        t = interior(199)
        c = self.path.coefficients(t)
        return in_powers_of_t(self(t), t, c.diffusion) or in_schedules(
            c,
            self.prediction,
            self.loss_space,
            gaussian_source=self.gaussian_source,
            known=getattr(self.path, "formulas", {}),
        )

    @property
    def growth(self) -> str:
        """How the weight behaves at the ends, and its range if it is bounded."""
        ends = (("t", self.ends.at_zero, 0), ("(1-t)", self.ends.at_one, 1))
        parts = [f"~ {base}^{power:g} as t -> {end}" for base, power, end in ends if power]
        if self.ends.is_bounded:
            parts.append(f"at most {self.supremum:.4g}")
        return ", ".join(parts)


def implied_weight(
    path: PathLike,
    prediction: TargetKind,
    loss_space: TargetKind,
    gaussian_source: bool = False,
    *,
    clamp: float = 0.0,
) -> ImpliedWeight:
    """Return the implied weight of a cell of the table prediction x loss space.

    Args:
        path: The path.
        prediction: What the network estimates.
        loss_space: Where the loss compares.
        gaussian_source: Whether the source is N(0, I) and independent of the data.
        clamp: The weight is at most ``1 / clamp**2``; 0 for no bound.

    Raises:
        IncompatiblePartsError: The cell is not defined on this path.

    References:
        arXiv:2602.10420 (alignment); 2511.13720 (the clamp 0.05).

    Example:
        >>> from precond_gm.paths import LinearPath
        >>> from precond_gm.values import TargetKind
        >>> implied_weight(LinearPath(), TargetKind.X1, TargetKind.VELOCITY).formula
        '1/(1-t)^2'
    """
    probe = path.coefficients(torch.linspace(0.1, 0.9, 9, dtype=torch.float64))
    for kind in (prediction, loss_space):  # a kind that the path lacks is refused when aligned too
        other = TargetKind.X0 if kind is TargetKind.X1 else TargetKind.X1
        conversion(probe, kind, other, gaussian_source=gaussian_source)
    check_conversion(probe, prediction, loss_space, gaussian_source=gaussian_source)
    return ImpliedWeight(path, prediction, loss_space, gaussian_source, clamp)


def target_power(path: PathLike, kind: TargetKind) -> Ends:
    """Measure the second moment of a conditional target over t, for ends of unit covariance.

    A target that grows without bound makes the loss of *any* bounded network diverge, aligned or
    not: the drift of the bridge has second moment of order ``1 / (1 - t)``.
    """

    def log_power(t: Tensor) -> Tensor:
        c = path.coefficients(t)
        ends = c.alpha_slope.square() + c.beta_slope.square()
        if kind is TargetKind.VELOCITY:
            noise = c.variance_slope.square() / (4 * c.variance) if c.has_noise else 0 * ends
            return (ends + noise).log()
        if kind is TargetKind.DRIFT and c.drift_rate is not None:
            return (ends + c.drift_rate.square() * c.variance).log()
        if kind is TargetKind.SCORE:
            return -(c.variance if c.has_noise else c.alpha.square()).log()
        return torch.zeros_like(t)

    return behaviour(log_power)
