"""Turn normflows round, once: its ``inverse`` goes from data to noise, its ``forward`` back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from precond_gm.options import check_counts, check_widths
from precond_gm.preconditioners.flows import AbstractFlow
from precond_gm.values import Transformed

__all__ = ["MAX_LOG_SCALE", "AbstractNormflows", "Layers"]

MAX_LOG_SCALE = 3.0  # of one layer: keeps the round trip within a few hundred roundings


class Layers(nn.Module):
    """Layers in normflows' order, from noise to data, each taking the label as ``context``."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Go from noise to data."""
        total = z.new_zeros(z.shape[0])
        for layer in self.layers:
            z, log_det = layer(z, context)
            total = total + log_det
        return z, total

    def inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Go from data to noise."""
        total = z.new_zeros(z.shape[0])
        for layer in reversed(self.layers):
            z, log_det = layer.inverse(z, context)  # type: ignore[operator]
            total = total + log_det
        return z, total


@dataclass(eq=False, repr=False)
class AbstractNormflows(AbstractFlow):
    """A flow in normflows' direction behind a scaling.

    Attributes:
        flat: Whether the layers take flattened rows.
    """

    flat = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "transforms", "blocks", "bins", "scales")
        layered = isinstance(getattr(type(self), "hidden", 1), tuple)
        (check_widths if layered else check_counts)(self, "hidden")

    def encode(self, rows: Tensor, context: Tensor | None) -> Transformed:
        """Map scaled rows to the latent space: normflows' ``inverse``."""
        value, log_det = self.network.inverse(self._laid_out(rows), context)  # type: ignore[operator]
        return Transformed(value.reshape(rows.shape), log_det)

    def decode(self, rows: Tensor, context: Tensor | None) -> Transformed:
        """Map latent rows back to the scaled space: normflows' ``forward``."""
        value, log_det = self.network(self._laid_out(rows), context)
        return Transformed(value.reshape(rows.shape), log_det)

    def _laid_out(self, rows: Tensor) -> Tensor:
        return torch.flatten(rows, 1) if self.flat else rows
