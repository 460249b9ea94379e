"""A small U-Net for images: residual blocks, two halvings, attention at the bottom."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from precond_gm.models.mlp import TimeEmbedding

__all__ = ["UNet"]

_LEAST_SIDE = 4  # two halvings leave one pixel


class UNet(nn.Module):
    """U-Net with embedded time and label.

    Every resolution has two residual blocks going down and two going up; the number of channels
    doubles at each halving. Sides need not be powers of two. The last layer starts at zero, so the
    first prediction is zero.

    Args:
        event_shape: Channels, height and width; both sides at least 4.
        num_labels: Number of classes, or None. A missing label has an embedding of its own.
        width: Channels at full resolution, a multiple of 8.
        halvings: How often the resolution is halved.

    Raises:
        InvalidInputError: Rows that are not images of the least size, or an odd width.

    Example:
        >>> import torch
        >>> net = UNet((1, 14, 14), num_labels=10, width=16)
        >>> net(torch.rand(2), torch.randn(2, 1, 14, 14), torch.tensor([3, 7])).shape
        torch.Size([2, 1, 14, 14])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        num_labels: int | None = None,
        width: int = 32,
        halvings: int = 2,
    ) -> None:
        super().__init__()
        self.event_shape = _checked(tuple(event_shape), width)
        self.num_labels = num_labels
        self.width = width
        self.halvings = halvings
        code = 4 * width
        self.time = nn.Sequential(
            TimeEmbedding(64), nn.Linear(64, code), nn.SiLU(), nn.Linear(code, code)
        )
        self.label = nn.Embedding(num_labels + 1, code) if num_labels is not None else None
        channels = [width * 2**k for k in range(halvings + 1)]
        self.enter = nn.Conv2d(self.event_shape[0], width, 3, padding=1)
        self.down = nn.ModuleList()
        skips, now = [width], width
        for level, size in enumerate(channels):
            for _ in range(2):
                self.down.append(Residual(now, size, code))
                now = size
                skips.append(now)
            if level < halvings:
                self.down.append(Halve(now))
                skips.append(now)
        self.bottom = nn.ModuleList(
            [Residual(now, now, code), Attention(now), Residual(now, now, code)]
        )
        self.up = nn.ModuleList()
        for level, size in reversed(list(enumerate(channels))):
            for _ in range(3 if level < halvings else 2):
                self.up.append(Residual(now + skips.pop(), size, code))
                now = size
        self.up.append(Residual(now + skips.pop(), width, code))
        self.leave = nn.Sequential(
            nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, self.event_shape[0], 3, padding=1)
        )
        nn.init.zeros_(self.leave[2].weight)  # type: ignore[arg-type]

    @property
    def options(self) -> dict[str, Any]:
        """Constructor arguments, for checkpoints."""
        return {
            "event_shape": list(self.event_shape),
            "num_labels": self.num_labels,
            "width": self.width,
            "halvings": self.halvings,
        }

    def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Predict at times ``t`` (shape batch) and images ``z``."""
        code = self.time(t)
        if self.label is not None:
            missing = torch.full_like(t, self.label.num_embeddings - 1, dtype=torch.long)
            code = code + self.label(missing if label is None else label)
        h = self.enter(z)
        skips = [h]
        for layer in self.down:
            h = layer(h, code)
            skips.append(h)
        for layer in self.bottom:
            h = layer(h, code)
        for layer in self.up:
            skip = skips.pop()
            if h.shape[2:] != skip.shape[2:]:
                h = F.interpolate(h, size=skip.shape[2:], mode="nearest")
            h = layer(torch.cat([h, skip], dim=1), code)
        return self.leave(h)


class Residual(nn.Module):
    """Two convolutions; the code of time and label scales and shifts between them."""

    def __init__(self, given: int, made: int, code: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(8, given), nn.SiLU(), nn.Conv2d(given, made, 3, padding=1)
        )
        self.code = nn.Sequential(nn.SiLU(), nn.Linear(code, 2 * made))
        self.norm = nn.GroupNorm(8, made)
        self.second = nn.Sequential(nn.SiLU(), nn.Conv2d(made, made, 3, padding=1))
        self.skip = nn.Conv2d(given, made, 1) if given != made else nn.Identity()

    def forward(self, h: Tensor, code: Tensor) -> Tensor:
        """Add what the two convolutions make."""
        scale, shift = self.code(code)[:, :, None, None].chunk(2, dim=1)
        inner = self.norm(self.first(h)) * (1 + scale) + shift
        return self.skip(h) + self.second(inner)


class Halve(nn.Module):
    """Halve the resolution by a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, h: Tensor, code: Tensor) -> Tensor:
        """Return the smaller image; the code is not needed."""
        return self.layer(h)


class Attention(nn.Module):
    """Every place looks at every other one."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.enter = nn.Conv2d(channels, 3 * channels, 1)
        self.leave = nn.Conv2d(channels, channels, 1)

    def forward(self, h: Tensor, code: Tensor) -> Tensor:
        """Add what the attention gathers."""
        batch, channels, height, width = h.shape
        parts = self.enter(self.norm(h)).reshape(batch, 3 * self.heads, -1, height * width)
        query, key, value = parts.transpose(2, 3).chunk(3, dim=1)
        seen = F.scaled_dot_product_attention(query, key, value)
        return h + self.leave(seen.transpose(2, 3).reshape(batch, channels, height, width))


def _checked(event_shape: tuple[int, ...], width: int) -> tuple[int, ...]:
    from precond_gm.errors import InvalidInputError

    if len(event_shape) != 3 or min(event_shape[1:]) < _LEAST_SIDE:
        raise InvalidInputError(
            f"a UNet takes images (channels, height, width) of {_LEAST_SIDE} pixels and more; got "
            f"rows of shape {event_shape}. Use MLP for other rows."
        )
    if width % 8:
        raise InvalidInputError(f"width is a multiple of 8; got {width}.")
    return event_shape
