"""Flows of zuko whose inverse is a formula."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import zuko
from torch import nn

from precond_gm.values import InverseKind
from precond_gm_zuko.base import AbstractZuko, start_at_identity

__all__ = ["MAF", "NICE", "NSF", "RealNVP"]

MAX_LOG_SCALE = 3.0  # of one layer; zuko's own, 6.9, loses rows far out in float32
affine = partial(zuko.transforms.MonotonicAffineTransform, slope=math.exp(-MAX_LOG_SCALE))


@final
@dataclass(eq=False, repr=False)
class NICE(AbstractZuko):
    """Additive coupling layers: constant volume, so the scaling alone sets the density's scale.

    Cost: one pass of each layer's network, both ways.

    Conditioning: that of whitening; the fit makes the law more normal.

    References:
        Dinh, Krueger and Bengio, arXiv:1410.8516.
    """

    inverse_kind = InverseKind.CLOSED_FORM
    transforms: int = 4

    def make_flow(self, features: int, context: int) -> nn.Module:
        """Build the flow."""
        flow = zuko.flows.NICE(
            features,
            context,
            transforms=self.transforms,
            hidden_features=self.hidden,
            univariate=zuko.transforms.AdditiveTransform,
            shapes=[()],
        )
        return start_at_identity(flow)


@final
@dataclass(eq=False, repr=False)
class RealNVP(AbstractZuko):
    """Affine coupling layers: cheap in both directions, and the default flow.

    Cost: one pass of each layer's network, both ways. A layer's scales are held within [1/20, 20].

    Conditioning: that of whitening; the fit makes the law more normal.

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

    def make_flow(self, features: int, context: int) -> nn.Module:
        """Build the flow."""
        flow = zuko.flows.RealNVP(
            features,
            context,
            transforms=self.transforms,
            hidden_features=self.hidden,
            univariate=affine,
        )
        return start_at_identity(flow)


@final
@dataclass(eq=False, repr=False)
class MAF(AbstractZuko):
    """Masked affine layers: halves depend on halves, or every feature on all before it.

    The first is coupling, and the default: like ``zuko.realnvp``, with masked networks that change
    both halves in each layer. The second, ``autoregressive``, is the form of the paper. Scales of a
    layer are held within [1/20, 20].

    Cost: one pass of each layer's network forward, and two back; d passes back where it is
    autoregressive, which is refused above 64 features unless ``allow_slow`` is set.

    Conditioning: that of whitening; the fit makes the law more normal.

    Args:
        autoregressive: Let every feature depend on all before it: more flexible, and an inverse
            that costs d passes.
        allow_slow: Take that cost above 64 features.

    References:
        Papamakarios, Pavlakou and Murray, arXiv:1705.07057.
    """

    inverse_kind = InverseKind.CLOSED_FORM
    autoregressive: bool = False
    allow_slow: bool = False

    def make_flow(self, features: int, context: int) -> nn.Module:
        """Build the flow."""
        flow = zuko.flows.MAF(
            features,
            context,
            transforms=self.transforms,
            hidden_features=self.hidden,
            univariate=affine,
            passes=None if self.autoregressive else 2,
        )
        return start_at_identity(flow)


@final
@dataclass(eq=False, repr=False)
class NSF(AbstractZuko):
    """Monotone rational-quadratic splines in coupling layers: flexible, and still a formula.

    A spline is the identity beyond 5 deviations of the scaled rows. Cost: one pass of each layer's
    network forward and two back, with ``3 bins`` outputs per feature.

    Conditioning: that of whitening; the fit makes the law more normal.

    Args:
        bins: Pieces of each spline.
        autoregressive: Let every feature depend on all before it: more flexible, and an inverse
            that costs d passes.
        allow_slow: Take that cost above 64 features.

    References:
        Durkan, Bekasov, Murray and Papamakarios, arXiv:1906.04032.
    """

    inverse_kind = InverseKind.CLOSED_FORM
    tolerance = 1e-3
    box: ClassVar[float] = 5.0
    bins: int = 8
    autoregressive: bool = False
    allow_slow: bool = False

    def make_flow(self, features: int, context: int) -> nn.Module:
        """Build the flow."""
        flow = zuko.flows.NSF(
            features,
            context,
            bins=self.bins,
            transforms=self.transforms,
            hidden_features=self.hidden,
            passes=None if self.autoregressive else 2,
        )
        return start_at_identity(flow)
