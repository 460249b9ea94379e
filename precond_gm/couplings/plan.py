"""A transport plan between the noise and the data of a batch, and pairs drawn from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = ["HasPlan", "Plan"]


@dataclass(frozen=True)
class Plan:
    """Law of the noise row that a data row is paired with.

    Attributes:
        conditional: Probability of each noise row given a data row, shape ``data noise``; rows sum
            to one. Groups of rows may lead.
        mass: Mass of each data row, mean one; None where all are equal.
    """

    conditional: Tensor
    mass: Tensor | None = None

    @property
    def marginal_error(self) -> float:
        """Total variation between the law of the noise and the uniform one, in [0, 1]."""
        noise = self.conditional if self.mass is None else self.mass[:, None] * self.conditional
        share = noise.mean(0)
        return float((share * len(share) - 1).abs().mean()) / 2

    @property
    def entropy(self) -> float:
        """Mean entropy of the noise row given the data row, in nats: 0 for a permutation."""
        return float(-torch.xlogy(self.conditional, self.conditional).sum(1).mean())

    @property
    def partners(self) -> float:
        """Return ``exp(entropy)``: how many noise rows a data row has to choose from."""
        return math.exp(self.entropy)

    def draw(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw a noise row for each data row, by inverting its distribution function.

        Every data row is used exactly once, and the expected pairs are the plan: no bias.
        """
        device = generator.device if generator is not None else self.conditional.device
        shape = (*self.conditional.shape[:-1], 1)
        u = torch.rand(shape, generator=generator, device=device, dtype=torch.float64)
        cumulative = self.conditional.to(torch.float64).cumsum(-1)
        level = u.to(cumulative.device) * cumulative[..., -1:]
        drawn = torch.searchsorted(cumulative, level, right=True)[..., 0]
        return drawn.clamp_max(self.conditional.shape[-1] - 1)


@runtime_checkable
class HasPlan(Protocol):
    """A coupling that can show the plan it draws from."""

    def plan(self, z0: Tensor, z1: Tensor) -> Plan:
        """Return the plan between the rows of one label."""
        ...
