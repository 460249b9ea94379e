"""A small autoencoder, for training in its code."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Autoencoder"]


class Autoencoder(nn.Module):
    """Two perceptrons with a code between them.

    The code is not forced towards a normal law: making it easy to learn is what preconditioners
    are compared on.

    Args:
        event_shape: Shape of a row.
        latent: Features of the code.
        width: Hidden width.

    Example:
        >>> import torch
        >>> net = Autoencoder((1, 8, 8), latent=4)
        >>> net.decode(net.encode(torch.randn(3, 1, 8, 8))).shape
        torch.Size([3, 1, 8, 8])
    """

    scale: Tensor

    def __init__(self, event_shape: tuple[int, ...], latent: int, width: int = 256) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.latent, self.width = latent, width
        features = math.prod(event_shape)
        self.encoder = nn.Sequential(
            nn.Flatten(),
            nn.Linear(features, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, latent),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, features),
            nn.Unflatten(1, self.event_shape),
        )
        self.register_buffer("scale", torch.ones(()))

    @property
    def options(self) -> dict[str, Any]:
        """Constructor arguments, for checkpoints."""
        return {"event_shape": list(self.event_shape), "latent": self.latent, "width": self.width}

    def encode(self, x: Tensor) -> Tensor:
        """Return codes of deviation one over all features together."""
        return self.encoder(x) / self.scale

    def decode(self, code: Tensor) -> Tensor:
        """Return rows of the data's shape."""
        return self.decoder(code * self.scale)
