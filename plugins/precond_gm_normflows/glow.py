"""Glow: a flow of images on several scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import normflows as nf
import torch
from torch import Tensor, nn

from precond_gm.errors import InvalidInputError
from precond_gm.values import InverseKind
from precond_gm_normflows.base import MAX_LOG_SCALE, AbstractNormflows

__all__ = ["Glow"]


class Bounded(nn.Module):
    """A coupling network whose log-scales, every second channel, stay within bounds.

    normflows leaves them unbounded: a row far out overflows, and does not come back.

    Args:
        network: The network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return shifts and log-scales, in turns."""
        shift, log_scale = self.network(x).unflatten(1, (-1, 2)).unbind(2)
        log_scale = MAX_LOG_SCALE * torch.tanh(log_scale / MAX_LOG_SCALE)
        return torch.stack([shift, log_scale], 2).flatten(1, 2)


class Scales(nn.Module):
    """Glow's blocks on several scales, in normflows' direction; a row keeps its size.

    From data to noise each scale squeezes 2 x 2 pixels into channels, applies a shift and scale
    per label (normflows' blocks take no label) and the blocks, and sets half of the channels aside.

    Args:
        channels: Channels of the images.
        scales: Number of scales.
        blocks: Glow blocks per scale.
        hidden: Channels of the coupling networks.
        labels: Number of labels, or 0.
    """

    def __init__(self, channels: int, scales: int, blocks: int, hidden: int, labels: int) -> None:
        super().__init__()
        self.squeeze = nf.flows.Squeeze()
        self.blocks = nn.ModuleList()
        self.shifts = nn.ModuleList()
        for scale in range(scales):
            channels *= 4
            self.blocks.append(
                nn.ModuleList(
                    nf.flows.GlowBlock(channels, hidden, scale_map="exp", use_lu=False)
                    for _ in range(blocks)
                )
            )
            if labels:
                self.shifts.append(nf.flows.CCAffineConst((channels, 1, 1), labels))
            if scale < scales - 1:
                channels //= 2
        for module in list(self.modules()):
            if isinstance(module, nf.flows.ActNorm):
                module.data_dep_init_done = torch.ones(())  # rows are scaled already
            if isinstance(module, nf.flows.AffineCoupling):
                module.param_map = Bounded(module.param_map)

    def inverse(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Go from data to noise."""
        total = x.new_zeros(x.shape[0])
        aside = []
        for scale, blocks in enumerate(self.blocks):
            x, _ = self.squeeze.inverse(x)
            if context is not None:
                x, log_det = self.shifts[scale].inverse(x, context)  # type: ignore[operator]
                total = total + log_det
            for block in reversed(list(blocks)):  # type: ignore[arg-type]
                x, log_det = block.inverse(x)
                total = total + log_det
            if scale < len(self.blocks) - 1:
                x, half = x.chunk(2, 1)
                aside.append(half)
        return torch.cat([part.flatten(1) for part in (*aside, x)], 1), total

    def forward(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Go from noise to data."""
        total = z.new_zeros(z.shape[0])
        x, rest = self._last(z)
        for scale, blocks in reversed(list(enumerate(self.blocks))):
            if scale < len(self.blocks) - 1:
                half, rest = rest[:, -x[0].numel() :], rest[:, : -x[0].numel()]
                x = torch.cat([x, half.reshape(x.shape)], 1)
            for block in blocks:  # type: ignore[union-attr]
                x, log_det = block(x)
                total = total + log_det
            if context is not None:
                x, log_det = self.shifts[scale](x, context)
                total = total + log_det
            x, _ = self.squeeze(x)
        return x, total

    def _last(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Cut the coarsest scale off."""
        count, channels, height, width = z.shape
        scales = len(self.blocks)
        shape = (channels * 2 ** (scales + 1), height // 2**scales, width // 2**scales)
        flat = z.flatten(1)
        size = shape[0] * shape[1] * shape[2]
        return flat[:, -size:].reshape(count, *shape), flat[:, :-size]


@final
@dataclass(eq=False, repr=False)
class Glow(AbstractNormflows):
    """Glow on images ``channels height width``, behind spectral whitening.

    Labels act by a shift and scale of their own on every scale. Cost: one pass of each block's
    network, both ways.

    Conditioning: that of the scaling, improved as far as the fit reaches.

    Args:
        scaling: Closed-form map in front.
        scales: Number of scales; height and width are divisible by ``2**scales``.
        blocks: Blocks per scale.
        hidden: Channels of the coupling networks.

    References:
        Kingma and Dhariwal, arXiv:1807.03039.
    """

    inverse_kind = InverseKind.CLOSED_FORM
    tolerance = 1e-3
    flat = False
    scaling: str | tuple[str, dict[str, Any]] = "spectral"
    scales: int = 2
    blocks: int = 2
    hidden: int = 32

    def make(self, event_shape: tuple[int, ...], labels: int) -> nn.Module:
        """Build the blocks.

        Raises:
            InvalidInputError: Not images, or sides that cannot be halved often enough.
        """
        side = 2**self.scales
        if len(event_shape) != 3 or event_shape[1] % side or event_shape[2] % side:
            raise InvalidInputError(
                f"Glow takes images (channels, height, width) whose sides are divisible by {side} "
                f"({self.scales} scales); got rows of shape {event_shape}. Use fewer scales, or "
                f"'normflows.realnvp' for vectors."
            )
        return Scales(event_shape[0], self.scales, self.blocks, self.hidden, labels)
