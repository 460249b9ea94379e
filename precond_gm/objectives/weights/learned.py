"""A weight that is learned with the network."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor, nn

from precond_gm.errors import InvalidInputError
from precond_gm.objectives.weights.base import AbstractWeight
from precond_gm.values import Coefficients

__all__ = ["Learned"]


@final
class Learned(nn.Module, AbstractWeight):
    r"""Learned log-variance: ``L = exp(-u(t)) D + u(t)``, so that u becomes ``log E[D | t]``.

    Every time then contributes about one unit to the loss. u is a linear function of
    ``cos(pi k t)``, starts at zero, and its parameters are among the flow's: an optimiser over
    ``flow.parameters()`` trains them. Under DDP they are not part of the wrapped forward: reduce
    their gradients, or use ``variance-equalising``.

    Args:
        frequencies: Number of cosines.

    References:
        arXiv:2312.02696, section 2.3 and appendix B.2; arXiv:1705.07115, section 3.

    Example:
        >>> import torch
        >>> from precond_gm.paths import LinearPath
        >>> t = torch.tensor([0.1, 0.9])
        >>> Learned()(t, LinearPath().coefficients(t)).detach()
        tensor([1., 1.])
    """

    def __init__(self, frequencies: int = 16) -> None:
        super().__init__()
        if frequencies < 1:
            raise InvalidInputError(f"Learned: frequencies is 1 or more; got {frequencies}.")
        self.frequencies = frequencies
        self.coefficients = nn.Parameter(torch.zeros(frequencies))

    @property
    def options(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"frequencies": self.frequencies}

    def forward(self, t: Tensor, coefficients: Coefficients) -> Tensor:
        """Return ``exp(-u(t))``."""
        return torch.exp(-self.penalty(t))

    def penalty(self, t: Tensor) -> Tensor:
        """Return ``u(t)``."""
        k = torch.arange(self.frequencies, device=t.device, dtype=t.dtype)
        return torch.cos(math.pi * t[:, None] * k) @ self.coefficients.to(t.dtype)
