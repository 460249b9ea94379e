"""Flows of zuko whose inverse is an iteration, on the whole line by tails of ours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import torch
import zuko
from torch import nn

from precond_gm.values import InverseKind
from precond_gm_zuko.base import AbstractZuko, masked_flow, normal, start_at_identity
from precond_gm_zuko.tails import BOX, tailed
from precond_gm_zuko.univariate import Gaussianization, bounded_polynomials

__all__ = ["BPF", "CNF", "GF", "NAF", "SOSPF", "UNAF"]


@dataclass(eq=False, repr=False)
class _Monotone(AbstractZuko):
    """Layers of one monotone transform, undone by bisection and Newton's method.

    Args:
        autoregressive: Let every feature depend on all before it: more flexible, and an inverse
            that costs d passes.
        allow_slow: Take that cost above 64 features.
    """

    inverse_kind = InverseKind.NUMERICAL
    tolerance = 1e-4
    box: ClassVar[float] = BOX
    transforms: int = 2
    autoregressive: bool = False
    allow_slow: bool = False


@final
@dataclass(eq=False, repr=False)
class BPF(_Monotone):
    """Bernstein polynomials in coupling layers.

    The identity beyond 8 deviations of the scaled rows. Cost: one pass of each layer's network
    forward, two passes and about 20 evaluations of the polynomials back.

    Conditioning: that of whitening; the fit makes the law more normal.

    Args:
        degree: Degree of the polynomials.

    References:
        Sick, Hothorn and Duerr, arXiv:2004.00464; Arpogaus et al., arXiv:2204.13939.
    """

    degree: int = 16

    def make_flow(self, features: int, context: int) -> nn.Module:
        """Build the flow."""
        bernstein = partial(zuko.transforms.BoundedBernsteinTransform, bound=BOX)
        flow = masked_flow(
            features,
            context,
            lambda: tailed(bernstein),
            [(self.degree + 1,)],
            transforms=self.transforms,
            hidden=self.hidden,
            autoregressive=self.autoregressive,
        )
        return start_at_identity(flow)


@final
@dataclass(eq=False, repr=False)
class SOSPF(_Monotone):
    """Integrals of sums of squared polynomials in coupling layers.

    Slope 1 beyond 8 deviations of the scaled rows; coefficients are held within [-1, 1]. Cost: one
    pass of each layer's network forward, two passes and about 20 evaluations of the polynomials
    back.

    Conditioning: that of whitening; the fit makes the law more normal.

    Args:
        degree: Degree of the polynomials that are squared.
        polynomials: How many of them are summed.

    References:
        Jaini, Selby and Yu, arXiv:1905.02325.
    """

    degree: int = 4
    polynomials: int = 3

    def make_flow(self, features: int, context: int) -> nn.Module:
        """Build the flow."""
        flow = masked_flow(
            features,
            context,
            lambda: tailed(bounded_polynomials),
            [(self.polynomials, self.degree + 1), ()],
            transforms=self.transforms,
            hidden=self.hidden,
            autoregressive=self.autoregressive,
        )
        return start_at_identity(flow)


@final
@dataclass(eq=False, repr=False)
class NAF(_Monotone):
    """Monotone networks in coupling layers.

    Slope 1 beyond 8 deviations of the scaled rows. Cost: one pass of each layer's networks forward,
    two passes and about 20 evaluations of the monotone networks back. It does not start at the
    identity, so it needs the longest fits.

    Conditioning: that of whitening; the fit makes the law more normal.

    Args:
        signal: Numbers by which the conditioning network steers the monotone one.
        monotone: Widths of the hidden layers of the monotone networks.

    References:
        Huang, Krueger, Lacoste and Courville, arXiv:1804.00779.
    """

    signal: int = 8
    monotone: tuple[int, ...] = (32, 32)

    def make_flow(self, features: int, context: int) -> nn.Module:
        """Build the flow."""
        return masked_flow(
            features,
            context,
            lambda: Steered(
                zuko.flows.neural.MNN(self.signal, stack=features, hidden_features=self.monotone)
            ),
            [(self.signal,)],
            transforms=self.transforms,
            hidden=self.hidden,
            autoregressive=self.autoregressive,
        )


@final
@dataclass(eq=False, repr=False)
class UNAF(_Monotone):
    """Integrals of positive networks in coupling layers.

    Slope 1 beyond 8 deviations of the scaled rows. The integrals are sums over 32 nodes, so this
    is the most expensive of all: use it for a few features.

    Cost: one pass of each layer's networks at 32 nodes forward, and about 20 times as much back.
    Conditioning: that of whitening; the fit makes the law more normal.

    Args:
        signal: Numbers by which the conditioning network steers the integrand.
        integrand: Widths of the hidden layers of the integrands.

    References:
        Wehenkel and Louppe, arXiv:1908.05164.
    """

    signal: int = 8
    integrand: tuple[int, ...] = (32, 32)

    def make_flow(self, features: int, context: int) -> nn.Module:
        """Build the flow."""
        flow = masked_flow(
            features,
            context,
            lambda: Steered(
                zuko.flows.neural.UMNN(self.signal, stack=features, hidden_features=self.integrand)
            ),
            [(self.signal,), ()],
            transforms=self.transforms,
            hidden=self.hidden,
            autoregressive=self.autoregressive,
        )
        return start_at_identity(flow)


@final
@dataclass(eq=False, repr=False)
class GF(AbstractZuko):
    """Gaussianisation of each feature, and rotations in between.

    Slope 1 beyond 8 deviations of the scaled rows. Labels steer the features' transforms, not the
    rotations. Cost: O(d^2) forward; about 20 evaluations per layer back.

    Conditioning: that of whitening; the fit makes the law more normal.

    Args:
        components: Normal laws mixed in each transform.

    References:
        Meng, Song, Song and Ermon, arXiv:2003.01941.
    """

    inverse_kind = InverseKind.NUMERICAL
    tolerance = 1e-4
    box: ClassVar[float] = BOX
    transforms: int = 3
    components: int = 8

    def make_flow(self, features: int, context: int) -> nn.Module:
        """Build the flow."""
        layers: list[nn.Module] = []
        for _ in range(self.transforms):
            if layers:
                turn = torch.randn(features, features) / features**0.5
                layers.append(
                    zuko.lazy.UnconditionalTransform(zuko.transforms.RotationTransform, A=turn)
                )
            layers.append(
                zuko.flows.ElementWiseTransform(
                    features,
                    context,
                    univariate=tailed(Gaussianization),
                    shapes=[(self.components,), (self.components,)],
                    **({"hidden_features": self.hidden} if context else {}),
                )
            )
        return zuko.lazy.Flow(layers, normal(features))


@final
@dataclass(eq=False, repr=False)
class CNF(AbstractZuko):
    """A differential equation with a learned velocity, solved both ways.

    Its log-determinant is an exact trace: cost O(d) evaluations of the network per step of an
    adaptive solver, in both directions. The step is common to the batch, so the image of a row
    depends on the others within the tolerance.

    Cost: O(d) gradients of the network per step of an adaptive solver, both ways; above 64 features
    that is refused unless ``allow_slow`` is set. Conditioning: that of whitening; the fit makes the
    law more normal.

    Args:
        frequencies: Of the embedding of time.
        absolute: Absolute tolerance of the solver.
        relative: Relative tolerance of the solver.
        allow_slow: Take the cost of the trace above 64 features.

    References:
        Chen, Rubanova, Bettencourt and Duvenaud, arXiv:1806.07366; Grathwohl et al.,
        arXiv:1810.01367.
    """

    inverse_kind = InverseKind.NUMERICAL
    tolerance = 1e-3
    frequencies: int = 3
    absolute: float = 1e-6
    relative: float = 1e-5
    allow_slow: bool = False

    def cost_of(self, features: int) -> str | None:
        """Return what the exact trace costs."""
        return (
            f"the log-determinant of a continuous flow is an exact trace, {features} gradients of "
            f"its network in each of the solver's evaluations: with "
            f"64 features a batch of 256 rows took 2 s, with 784 a step took over 300 s. Use "
            f"'flow-matching', which is fitted without it, or 'zuko.realnvp'"
        )

    def make_flow(self, features: int, context: int) -> nn.Module:
        """Build the flow."""
        flow = zuko.flows.CNF(
            features,
            context,
            freqs=self.frequencies,
            atol=self.absolute,
            rtol=self.relative,
            hidden_features=self.hidden,
        )
        return start_at_identity(flow)


class Steered(nn.Module):
    """A monotone network with tails, as the ``univariate`` of a layer: a module, to be trained.

    Args:
        network: Constructor of transforms that holds parameters.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *phi: torch.Tensor) -> torch.distributions.Transform:
        """Build the transform for parameters ``phi``."""
        return tailed(self.network)(*phi)
