"""Run zuko's flows as maps from data to noise: zuko's ``transform`` goes in that direction."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import zuko
from torch import Tensor, nn

from precond_gm.preconditioners.flows import AbstractFlow
from precond_gm.values import Transformed

__all__ = ["AbstractZuko", "start_at_identity"]


@dataclass(eq=False, repr=False)
class AbstractZuko(AbstractFlow):
    """A zuko flow behind a scaling, on flattened rows with one-hot labels.

    Args:
        transforms: Number of layers.
        hidden: Widths of the hidden layers of each layer's network.
    """

    transforms: int = 3
    hidden: tuple[int, ...] = (64, 64)

    @abc.abstractmethod
    def make_flow(self, features: int, context: int) -> zuko.lazy.Flow:
        """Build the flow for rows of ``features`` and labels of width ``context``."""

    def make(self, event_shape: tuple[int, ...], labels: int) -> nn.Module:
        """Build the flow for flattened rows."""
        return self.make_flow(math.prod(event_shape), labels)

    def encode(self, rows: Tensor, context: Tensor | None) -> Transformed:
        """Map scaled rows to the latent space."""
        value, log_abs_det = self.network(context).transform.call_and_ladj(rows.flatten(1))
        return Transformed(value.reshape(rows.shape), log_abs_det)

    def decode(self, rows: Tensor, context: Tensor | None) -> Transformed:
        """Map latent rows back to the scaled space."""
        inverse = self.network(context).transform.inv
        value, log_abs_det = inverse.call_and_ladj(rows.flatten(1))
        return Transformed(value.reshape(rows.shape), log_abs_det)


def start_at_identity(flow: zuko.lazy.Flow) -> zuko.lazy.Flow:
    """Zero the last layer of every network, so that affine and spline layers change nothing yet.

    The fit then starts from what the scaling gives, and its best weights cannot be less likely on
    held-out rows than the scaling alone.
    """
    for module in flow.modules():
        if isinstance(module, (zuko.nn.MLP, zuko.nn.MaskedMLP)):
            nn.init.zeros_(module[-1].weight)
            nn.init.zeros_(module[-1].bias)
    return flow
