"""A small residual network for vectors: the base of the demo and of the tests."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["MLP", "TimeEmbedding"]


class TimeEmbedding(nn.Module):
    """Sines and cosines of ``t`` at geometric frequencies from half a turn to ``max_turns``.

    Args:
        features: Size of the embedding, even.
        max_turns: Highest frequency, in turns over [0, 1].
    """

    frequency: Tensor

    def __init__(self, features: int = 64, max_turns: float = 16.0) -> None:
        super().__init__()
        exponent = torch.linspace(0, 1, features // 2)
        frequency = math.pi * (2 * max_turns) ** exponent
        self.register_buffer("frequency", frequency, persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        """Embed times of shape batch."""
        angle = t[:, None] * self.frequency.to(t.dtype)
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class MLP(nn.Module):
    """Residual MLP on flattened events, with embedded time and label.

    Args:
        event_shape: Shape of a row, or its number of features.
        num_labels: Number of classes, or None for an unconditional network. A missing label uses
            an embedding of its own, so one network serves both.
        width: Hidden width.
        depth: Number of residual layers.

    Example:
        >>> import torch
        >>> net = MLP(2, num_labels=3, width=16)
        >>> net(torch.rand(5), torch.randn(5, 2), torch.tensor([0, 1, 2, 0, 1])).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        event_shape: int | tuple[int, ...],
        num_labels: int | None = None,
        width: int = 256,
        depth: int = 3,
    ) -> None:
        super().__init__()
        self.event_shape = (event_shape,) if isinstance(event_shape, int) else tuple(event_shape)
        self.num_labels = num_labels
        self.width = width
        self.depth = depth
        dim = math.prod(self.event_shape)
        self.time = nn.Sequential(TimeEmbedding(64), nn.Linear(64, width))
        self.label = nn.Embedding(num_labels + 1, width) if num_labels is not None else None
        self.enter = nn.Linear(dim, width)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Linear(width, width)) for _ in range(depth)
        )
        self.leave = nn.Sequential(nn.SiLU(), nn.Linear(width, dim))

    @property
    def options(self) -> dict[str, Any]:
        """Constructor arguments, for checkpoints."""
        return {
            "event_shape": list(self.event_shape),
            "num_labels": self.num_labels,
            "width": self.width,
            "depth": self.depth,
        }

    def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Predict at times ``t`` (shape batch) and points ``z`` (shape batch *event)."""
        h = self.enter(z.flatten(1)) + self.time(t)
        if self.label is not None:
            assert self.num_labels is not None  # for the type checker: set together
            missing = torch.full_like(t, self.num_labels, dtype=torch.long)
            h = h + self.label(missing if label is None else label)
        for layer in self.layers:
            h = h + layer(h)
        return self.leave(h).reshape(z.shape)
