"""Gaussian noise: drawn on the generator's device, then moved, so one seed is one run anywhere."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["standard_normal"]


def standard_normal(
    like: Tensor, generator: torch.Generator | None = None, *, scale: float = 1.0
) -> Tensor:
    """Draw N(0, scale^2 I) of the shape of ``like``, on the generator's device, then moved."""
    device = generator.device if generator is not None else like.device
    noise = torch.empty(like.shape, device=device, dtype=like.dtype)
    return noise.normal_(0.0, scale, generator=generator).to(like.device)
