"""The bridge to a single point: the simplest singular target."""

from __future__ import annotations

import math
from typing import final

import torch

from precond_gm.closed_form.gaussian_base import AbstractGaussianBridge
from precond_gm.closed_form.inputs import ArrayLike, as_sigma, as_vector, common_device

__all__ = ["PointMassBridge"]


@final
class PointMassBridge(AbstractGaussianBridge):
    r"""Path from N(0, I) to one point: drift ``(point - x) / (1 - t)``, singular at t = 1.

    Sampling stops at ``1 - delta``, where the law is ``N(t point, (1-t) (1-t + sigma^2 t) I)``.

    Args:
        point: The target; a number is a point in one dimension.
        sigma: Scale of the bridge's noise; 0 is the linear path.

    References:
        arXiv 2606.16610, theorem 3 (the grid that this target calls for).

    Example:
        >>> import torch
        >>> from precond_gm.closed_form import PointMassBridge
        >>> float(PointMassBridge(0.0).drift(0.5, torch.ones(1, 1).double()))
        -2.0
    """

    def __init__(self, point: ArrayLike = 0.0, sigma: float = math.sqrt(2)) -> None:
        device = common_device(point)
        dim = torch.as_tensor(point).numel()
        target = as_vector(point, dim, device, "point")
        identity = torch.eye(dim, dtype=torch.float64, device=device)
        zero = torch.zeros_like(identity)
        super().__init__(torch.zeros_like(target), identity, target, zero, zero, as_sigma(sigma))

    @property
    def point(self) -> torch.Tensor:
        """The target."""
        return self.mean1
