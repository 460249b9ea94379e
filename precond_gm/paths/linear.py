"""The straight line between the ends: plain flow matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from precond_gm.paths.base import AbstractPath
from precond_gm.values import Coefficients, Pairing, TargetKind

__all__ = ["LinearPath"]


@final
@dataclass(frozen=True)
class LinearPath(AbstractPath):
    r"""Straight line from ``z0`` to ``z1``: the path of flow matching and rectified flow.

    .. math::
        z_t = (1 - t) z_0 + t z_1, \qquad v_t = z_1 - z_0

    The velocity is bounded at both ends, so all of [0, 1] is used.

    References:
        2210.02747, eq. 20 with ``sigma_min = 0``; 2209.03003, eq. 1.

    Example:
        >>> import torch
        >>> LinearPath().coefficients(torch.tensor([0.25])).alpha
        tensor([0.7500])
    """

    kind: ClassVar[TargetKind] = TargetKind.VELOCITY
    default_prediction: ClassVar[TargetKind] = TargetKind.VELOCITY

    @property
    def formulas(self) -> dict[str, str]:
        """``1 - t`` and ``t``, with their slopes."""
        return {"alpha": "1-t", "alpha'": "-1", "beta": "t", "beta'": "1"}

    def coefficients(self, t: Tensor) -> Coefficients:
        """Return the coefficients ``1 - t`` and ``t``."""
        ones, zeros = torch.ones_like(t), torch.zeros_like(t)
        return Coefficients(1 - t, -ones, t, ones, zeros, zeros)

    def _target(
        self, kind: TargetKind, pairing: Pairing, noise: Tensor | None, c: Coefficients
    ) -> Tensor:
        if kind is TargetKind.VELOCITY:  # the same number with one pass over the rows, not three
            return pairing.z1 - pairing.z0
        return super()._target(kind, pairing, noise, c)
