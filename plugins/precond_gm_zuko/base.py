"""Run zuko's flows as maps from data to noise: zuko's ``transform`` goes in that direction."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import zuko
from torch import Tensor, nn

from precond_gm.errors import InvalidInputError
from precond_gm.options import check_counts, check_widths
from precond_gm.preconditioners.flows import AbstractFlow
from precond_gm.values import Transformed

__all__ = ["AbstractZuko", "masked_flow", "start_at_identity"]

MAX_FEATURES = 64  # above, what costs a pass of the networks per feature is refused


@dataclass(eq=False, repr=False)
class AbstractZuko(AbstractFlow):
    """A zuko flow behind a scaling, on flattened rows with one-hot labels.

    Args:
        transforms: Number of layers.
        hidden: Widths of the hidden layers of each layer's network.
    """

    transforms: int = 3
    hidden: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "transforms", "bins", "degree", "polynomials", "components")
        check_counts(self, "signal", "frequencies")
        check_widths(self, "hidden", "monotone", "integrand")

    @abc.abstractmethod
    def make_flow(self, features: int, context: int) -> nn.Module:
        """Build the flow for rows of ``features`` and labels of width ``context``."""

    def make(self, event_shape: tuple[int, ...], labels: int) -> nn.Module:
        """Build the flow for flattened rows.

        Raises:
            InvalidInputError: The map would need a pass of the networks per feature, and there
                are many.
        """
        features = math.prod(event_shape)
        cost = self.cost_of(features)
        if cost is not None and features > MAX_FEATURES and not getattr(self, "allow_slow", False):
            raise InvalidInputError(
                f"{cost}. More than {MAX_FEATURES} features are refused; allow_slow=True takes the "
                f"cost."
            )
        return self.make_flow(features, labels)

    def cost_of(self, features: int) -> str | None:
        """Return what grows with the features and is refused where they are many, or None."""
        if not getattr(self, "autoregressive", False):
            return None
        return (
            f"the inverse of an autoregressive flow runs its networks once per feature: "
            f"{features} x {self.transforms} times here, per batch of samples. Use "
            f"autoregressive=False (coupling, 2 times per layer)"
        )

    def encode(self, rows: Tensor, context: Tensor | None) -> Transformed:
        """Map scaled rows to the latent space."""
        value, log_abs_det = self.network(context).transform.call_and_ladj(rows.flatten(1))
        return Transformed(value.reshape(rows.shape), log_abs_det)

    def decode(self, rows: Tensor, context: Tensor | None) -> Transformed:
        """Map latent rows back to the scaled space."""
        inverse = self.network(context).transform.inv
        value, log_abs_det = inverse.call_and_ladj(rows.flatten(1))
        return Transformed(value.reshape(rows.shape), log_abs_det)


def masked_flow(
    features: int,
    context: int,
    univariate: Callable[[], Callable[..., Any]],
    shapes: Sequence[tuple[int, ...]],
    *,
    transforms: int,
    hidden: tuple[int, ...],
    autoregressive: bool,
) -> zuko.lazy.Flow:
    """Stack masked layers of one univariate transform, in alternating order of the features.

    Args:
        features: Number of features.
        context: Width of the labels.
        univariate: Gives the constructor of a layer's transform, anew for each layer, since it may
            hold parameters.
        shapes: Shapes of the transform's parameters.
        transforms: Number of layers.
        hidden: Widths of the hidden layers of each layer's network.
        autoregressive: Let each feature depend on all before it, else halves on halves (coupling).
    """
    order = torch.arange(features)
    layers = [
        zuko.flows.MaskedAutoregressiveTransform(
            features,
            context,
            passes=None if autoregressive else 2,
            order=order if index % 2 == 0 else order.flip(0),
            univariate=univariate(),
            shapes=shapes,
            hidden_features=hidden,
        )
        for index in range(transforms)
    ]
    return zuko.lazy.Flow(layers, normal(features))


def normal(features: int) -> zuko.lazy.UnconditionalDistribution:
    """Return the base law N(0, I)."""
    return zuko.lazy.UnconditionalDistribution(
        zuko.distributions.DiagNormal,
        loc=torch.zeros(features),
        scale=torch.ones(features),
        buffer=True,
    )


def start_at_identity(flow: nn.Module) -> nn.Module:
    """Zero the last layer of every network, so that layers change nothing yet.

    That is so for affine, spline, Bernstein, sum-of-squares, integral and continuous layers. The
    fit then starts from what the scaling gives, and its best weights cannot be less likely on
    held-out rows than the scaling alone.
    """
    for module in flow.modules():
        plain = isinstance(module, zuko.nn.MLP) and not isinstance(module, zuko.nn.MonotonicMLP)
        if plain or isinstance(module, zuko.nn.MaskedMLP):
            nn.init.zeros_(module[-1].weight)
            nn.init.zeros_(module[-1].bias)
    return flow
