"""The quarter circle between the ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from precond_gm.paths.base import AbstractPath
from precond_gm.values import Coefficients, TargetKind

__all__ = ["Trigonometric"]


@final
@dataclass(frozen=True)
class Trigonometric(AbstractPath):
    r"""Quarter circle from ``z0`` to ``z1``: it preserves variance, and its velocity is bounded.

    .. math::
        z_t = \cos(\tfrac{\pi}{2} t) z_0 + \sin(\tfrac{\pi}{2} t) z_1

    With ends of unit covariance that are independent, ``Cov(z_t) = I`` for every t.

    References:
        2209.15571 and 2303.08797: the trigonometric interpolant.

    Example:
        >>> c = Trigonometric().coefficients(torch.tensor([1.0]))
        >>> float(c.alpha), float(c.beta)
        (0.0, 1.0)
    """

    kind: ClassVar[TargetKind] = TargetKind.VELOCITY
    default_prediction: ClassVar[TargetKind] = TargetKind.VELOCITY

    @property
    def formulas(self) -> dict[str, str]:
        """Cosine and sine, with their slopes."""
        return {
            "alpha": "cos(pi t/2)",
            "alpha'": "-pi/2 sin(pi t/2)",
            "beta": "sin(pi t/2)",
            "beta'": "pi/2 cos(pi t/2)",
        }

    def coefficients(self, t: Tensor) -> Coefficients:
        """Return cosine and sine; the cosine as a sine of ``1 - t``, to end at exactly 0."""
        quarter, zeros = math.pi / 2, torch.zeros_like(t)
        alpha, beta = torch.sin(quarter * (1 - t)), torch.sin(quarter * t)
        return Coefficients(alpha, -quarter * beta, beta, quarter * alpha, zeros, zeros)
