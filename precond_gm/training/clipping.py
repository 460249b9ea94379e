"""Clip the gradient by its norm, with three operations over all parameters at once."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["clip_gradient"]


@torch.no_grad()
def clip_gradient(parameters: Iterable[nn.Parameter], largest: float) -> Tensor:
    """Scale the gradients in place so that their joint norm is at most ``largest``; return it.

    The same numbers as ``torch.nn.utils.clip_grad_norm_``, for parameters on one device and of one
    type; there, sorting them by device and type costs more than the arithmetic of a small network.
    Nothing waits for the device.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> layer(torch.ones(1, 2)).sum().backward()
        >>> clip_gradient(layer.parameters(), 1.0)
        tensor(1.7321)
        >>> layer.weight.grad
        tensor([[0.5773, 0.5773]])
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp_(max=1.0))
    return norm
