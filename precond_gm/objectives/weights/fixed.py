"""Weights that are a formula in t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.objectives.user import UserFunction
from precond_gm.objectives.weights.base import AbstractWeight
from precond_gm.options import check_finite, check_positive
from precond_gm.values import Coefficients

__all__ = ["Constant", "InverseRemaining", "UserWeight"]


@final
@dataclass(frozen=True)
class Constant(AbstractWeight):
    """The same weight at all times.

    Args:
        value: The weight, positive.
    """

    value: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self, "value")

    def __call__(self, t: Tensor, coefficients: Coefficients) -> Tensor:
        """Return the value in every row."""
        return torch.full_like(t, self.value)


@final
@dataclass(frozen=True)
class InverseRemaining(AbstractWeight):
    r"""Weight ``1 / max(1 - t + eps, clamp)^power`` of the time that remains.

    With power 2 on an x1-loss this is the velocity loss of the linear path (and the drift loss of
    the bridge) without its singularity. ``clamp=0.05, eps=0`` is the clamped velocity loss.

    Args:
        power: Exponent, 0 or more.
        eps: Added to ``1 - t``, 0 or more.
        clamp: Smallest denominator, 0 or more.

    References:
        arXiv:2511.16599, example 4.15; arXiv:2511.13720 (the clamp).

    Example:
        >>> import torch
        >>> from precond_gm.paths import LinearPath
        >>> t = torch.tensor([0.0, 0.5])
        >>> InverseRemaining(eps=0.0)(t, LinearPath().coefficients(t))
        tensor([1., 4.])
    """

    power: float = 2.0
    eps: float = 0.05
    clamp: float = 0.0

    def __post_init__(self) -> None:
        check_finite(self, "power", "eps", "clamp")
        if min(self.power, self.eps, self.clamp) < 0:
            raise InvalidInputError(f"{self!r}: power, eps and clamp are 0 or more.")

    def __call__(self, t: Tensor, coefficients: Coefficients) -> Tensor:
        """Return the weight at times ``t``."""
        remaining = torch.rsub(t, 1 + self.eps)  # every operation counts: steps are short
        if self.clamp:
            remaining = remaining.clamp(min=self.clamp)
        return remaining.pow(-self.power)


@final
class UserWeight(UserFunction, AbstractWeight):
    """A callable ``t -> weight`` of the user's own; positive and finite inside (0, 1).

    An ``nn.Module`` is moved and saved with the flow. Its parameters would be trained with the
    network, towards a weight of zero: freeze them, or use ``learned``.

    Args:
        function: Function, ``functools.partial``, module or object with ``__call__``; takes times
            of shape batch, returns weights of shape batch.
    """

    def forward(self, t: Tensor, coefficients: Coefficients) -> Tensor:
        """Return the function's value.

        Raises:
            InvalidInputError: It gave another shape than that of ``t``.
        """
        weight = self.function(t)
        if not isinstance(weight, Tensor) or weight.shape != t.shape:
            got = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
            raise InvalidInputError(
                f"a weight function maps times of shape {tuple(t.shape)} to a tensor of that "
                f"shape; it gave {got}."
            )
        return weight
