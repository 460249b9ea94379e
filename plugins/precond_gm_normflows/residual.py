"""Residual flows: contractions added to the identity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import normflows as nf
import torch
from torch import Tensor, nn

from precond_gm.errors import InvalidInputError
from precond_gm.values import InverseKind
from precond_gm_normflows.base import AbstractNormflows, Layers

__all__ = ["Residual"]

LIPSCHITZ = 0.8  # of each linear layer; the whole contracts by its power
POWER_STEPS = 3  # of the norm's iteration, per training step
MAX_FEATURES = 64  # the exact log-determinant needs the d x d Jacobian


class ResidualLayer(nf.flows.Flow):
    """``z = x + g(x, label)`` from data to noise, g a contraction of normflows.

    The inverse is the fixed point of ``x = z - g(x)``, iterated as often as the contraction needs
    for the dtype's precision. The log-determinant is exact: normflows' own is a random estimate,
    which is of use in training but is not the density of anything.

    Args:
        features: Number of features.
        context: Width of the labels.
        hidden: Widths of the network's hidden layers.
    """

    def __init__(self, features: int, context: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        widths = [features + context, *hidden, features]
        self.network = nf.nets.LipschitzMLP(widths, lipschitz_const=LIPSCHITZ)
        self.rate = LIPSCHITZ ** (len(widths) - 1)

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Go from data to noise."""
        if self.training:
            nf.utils.update_lipschitz(self.network, POWER_STEPS)
        return x + self._step(x, context), self._log_det(x, context)

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Go from noise to data."""
        x = z
        for _ in range(math.ceil(math.log(torch.finfo(z.dtype).eps) / math.log(self.rate))):
            x = z - self._step(x, context)
        return x, -self._log_det(x, context)

    def _step(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.network(x if context is None else torch.cat([x, context], 1))

    def _log_det(self, x: Tensor, context: Tensor | None) -> Tensor:
        keeps = torch.is_grad_enabled()
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            step = self._step(x, context)
            rows = [
                torch.autograd.grad(step[:, i].sum(), x, create_graph=keeps, retain_graph=True)[0]
                for i in range(x.shape[1])
            ]
            jacobian = torch.stack(rows, 1) + torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        return torch.linalg.slogdet(jacobian).logabsdet


@final
@dataclass(eq=False, repr=False)
class Residual(AbstractNormflows):
    """Layers ``x + g(x)`` with g a contraction.

    The inverse is an iteration to the precision of the dtype. Cost: d gradients per layer for the
    log-determinant, both ways; refused above 64 features.

    Conditioning: that of whitening; the fit makes the law more normal.

    Args:
        transforms: Number of layers.
        hidden: Widths of the hidden layers of each contraction.

    References:
        Chen, Behrmann, Duvenaud and Jacobsen, arXiv:1906.02735.
    """

    inverse_kind = InverseKind.NUMERICAL
    tolerance = 1e-4
    transforms: int = 4
    hidden: tuple[int, ...] = (64, 64)

    def make(self, event_shape: tuple[int, ...], labels: int) -> nn.Module:
        """Build the layers.

        Raises:
            InvalidInputError: Too many features for an exact log-determinant.
        """
        features = math.prod(event_shape)
        if features > MAX_FEATURES:
            raise InvalidInputError(
                f"a residual flow needs the {features} x {features} Jacobian of each layer for "
                f"each row; more than {MAX_FEATURES} features are refused. Use "
                f"'normflows.realnvp', or 'normflows.glow' for images."
            )
        return Layers(
            [ResidualLayer(features, labels, tuple(self.hidden)) for _ in range(self.transforms)]
        )
