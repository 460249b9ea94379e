"""Coupling layers on flattened rows, conditioned on the label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import normflows as nf
import torch
from torch import Tensor, nn

from precond_gm.errors import InvalidInputError
from precond_gm.values import InverseKind
from precond_gm_normflows.base import MAX_LOG_SCALE, AbstractNormflows, Layers

__all__ = ["RQS", "RealNVP"]


class ConditionalCoupling(nf.flows.Flow):
    """Affine coupling with a label: normflows' own blocks take none.

    Every second feature is scaled and shifted by what a network of normflows says of the others
    and of the label.

    Args:
        features: Number of features.
        context: Width of the labels.
        hidden: Widths of the network's hidden layers.
        even: Whether the features with an even index are changed.
    """

    def __init__(self, features: int, context: int, hidden: tuple[int, ...], even: bool) -> None:
        super().__init__()
        index = torch.arange(features)
        changed = index % 2 == 0 if even or features == 1 else index % 2 == 1
        self.register_buffer("changed", index[changed])
        self.register_buffer("kept", index[~changed])
        width = int((~changed).sum()) + context
        self.network = nf.nets.MLP(
            [max(1, width), *hidden, 2 * int(changed.sum())], init_zeros=True
        )

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scale, then shift."""
        log_scale, shift = self._scale_and_shift(z, context)
        value = z[:, self.changed] * log_scale.exp() + shift
        return z.index_copy(1, self.changed, value), log_scale.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Shift back, then scale back."""
        log_scale, shift = self._scale_and_shift(z, context)
        value = (z[:, self.changed] - shift) * (-log_scale).exp()
        return z.index_copy(1, self.changed, value), -log_scale.sum(1)

    def _scale_and_shift(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        parts = [z[:, self.kept]] if context is None else [z[:, self.kept], context]
        known = torch.cat(parts, 1)
        known = known if known.shape[1] else torch.ones_like(z[:, :1])
        log_scale, shift = self.network(known).chunk(2, 1)
        return MAX_LOG_SCALE * torch.tanh(log_scale / MAX_LOG_SCALE), shift


@final
@dataclass(eq=False, repr=False)
class RealNVP(AbstractNormflows):
    """Affine coupling layers with the label in every layer.

    Cost: one pass of each layer's network, both ways. A layer's scales are held within [1/20, 20].

    Conditioning: that of whitening; the fit makes the law more normal.

    Args:
        transforms: Number of layers.
        hidden: Widths of the hidden layers of each layer's network.

    References:
        Dinh, Sohl-Dickstein and Bengio, arXiv:1605.08803.

    Example:
        >>> import torch
        >>> from precond_gm.preconditioners import REGISTRY
        >>> part = REGISTRY.create("normflows.realnvp", max_steps=5)
        >>> part.fit(torch.randn(200, 3), torch.arange(200) % 2).steps
        5
    """

    inverse_kind = InverseKind.CLOSED_FORM
    transforms: int = 4
    hidden: tuple[int, ...] = (64, 64)

    def make(self, event_shape: tuple[int, ...], labels: int) -> nn.Module:
        """Build the layers."""
        features = math.prod(event_shape)
        return Layers(
            [
                ConditionalCoupling(features, labels, tuple(self.hidden), even=index % 2 == 0)
                for index in range(self.transforms)
            ]
        )


@final
@dataclass(eq=False, repr=False)
class RQS(AbstractNormflows):
    """Rational-quadratic splines in coupling layers.

    The identity beyond 5 deviations of the scaled rows (normflows' own default, 3, would leave out
    one row in 400 per feature). Cost: one pass of each layer's network, both ways.

    Conditioning: that of whitening; the fit makes the law more normal.

    Args:
        transforms: Number of layers.
        hidden: Width of the residual networks.
        blocks: Blocks of the residual networks.
        bins: Pieces of each spline.

    References:
        Durkan, Bekasov, Murray and Papamakarios, arXiv:1906.04032.
    """

    inverse_kind = InverseKind.CLOSED_FORM
    tolerance = 1e-3
    box: ClassVar[float] = 5.0
    transforms: int = 3
    hidden: int = 64
    blocks: int = 2
    bins: int = 8

    def make(self, event_shape: tuple[int, ...], labels: int) -> nn.Module:
        """Build the layers, starting at the identity.

        Raises:
            InvalidInputError: Rows of one feature, which leave nothing to couple with.
        """
        features = math.prod(event_shape)
        if features < 2:
            raise InvalidInputError(
                "spline coupling of normflows needs at least 2 features, got 1. Use 'zuko.nsf' or "
                "'normflows.realnvp'."
            )
        layers = [
            nf.flows.CoupledRationalQuadraticSpline(
                features,
                self.blocks,
                self.hidden,
                num_context_channels=labels or None,
                num_bins=self.bins,
                tail_bound=self.box,
                reverse_mask=index % 2 == 1,
            )
            for index in range(self.transforms)
        ]
        for layer in layers:
            self._start_at_identity(layer.prqct)
        return Layers(layers)

    def _start_at_identity(self, layer: nn.Module) -> None:
        last = layer.transform_net.final_layer
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        slope_one = math.log(math.expm1(1 - layer.min_derivative))  # softplus of it, plus the least
        with torch.no_grad():
            last.bias.view(-1, 3 * self.bins - 1)[:, 2 * self.bins :] = slope_one
