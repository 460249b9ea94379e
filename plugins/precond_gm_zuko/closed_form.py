"""Flows of zuko whose inverse is a formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import zuko

from precond_gm.values import InverseKind
from precond_gm_zuko.base import AbstractZuko, start_at_identity

__all__ = ["NSF", "RealNVP"]


@final
@dataclass(eq=False, repr=False)
class RealNVP(AbstractZuko):
    """Affine coupling layers: cheap in both directions, and the default flow.

    Cost: one pass of each layer's network, both ways. Scales are held within [1e-3, 1e3].

    Args:
        transforms: Number of coupling layers; every second feature is changed by each.

    References:
        Dinh, Sohl-Dickstein and Bengio, arXiv:1605.08803.

    Example:
        >>> import torch
        >>> from precond_gm.preconditioners import REGISTRY
        >>> part = REGISTRY.create("zuko.realnvp", max_steps=5)
        >>> part.fit(torch.randn(200, 3), torch.arange(200) % 2).steps
        5
    """

    inverse_kind = InverseKind.CLOSED_FORM
    transforms: int = 4

    def make_flow(self, features: int, context: int) -> zuko.lazy.Flow:
        """Build the flow."""
        return start_at_identity(
            zuko.flows.RealNVP(
                features, context, transforms=self.transforms, hidden_features=self.hidden
            )
        )


@final
@dataclass(eq=False, repr=False)
class NSF(AbstractZuko):
    """Monotone rational-quadratic splines in coupling layers: flexible, and still a formula.

    A spline is the identity beyond 5 deviations of the scaled rows. Cost: one pass of each layer's
    network, both ways, with ``3 bins`` outputs per feature.

    Args:
        bins: Pieces of each spline.
        autoregressive: Let every feature depend on all before it, not on the other half alone:
            more flexible, and an inverse that costs d passes.

    References:
        Durkan, Bekasov, Murray and Papamakarios, arXiv:1906.04032.
    """

    inverse_kind = InverseKind.CLOSED_FORM
    tolerance = 1e-3
    box: ClassVar[float] = 5.0
    bins: int = 8
    autoregressive: bool = False

    def make_flow(self, features: int, context: int) -> zuko.lazy.Flow:
        """Build the flow."""
        return start_at_identity(
            zuko.flows.NSF(
                features,
                context,
                bins=self.bins,
                transforms=self.transforms,
                hidden_features=self.hidden,
                passes=None if self.autoregressive else 2,
            )
        )
