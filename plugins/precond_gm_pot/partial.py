"""Partial minibatch transport: only the cheapest part of a batch is paired."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor

from precond_gm.options import check_positive
from precond_gm.values import Pairing
from precond_gm_pot.assignment import assign, potentials
from precond_gm_pot.base import AbstractTransport
from precond_gm_pot.cost import ends_of

__all__ = ["Partial"]

# In deviations of the real costs; those of all would be too hot, since dummies cost nothing. Colder
# than for an exact assignment: many rows that may be left out make searches long. With both, a
# batch of 4,096 takes 5.0 s instead of 10 s at d = 2, and 3.3 s instead of 6.2 s at d = 64.
TEMPERATURES = (0.2, 0.02, 0.002)


@final
@dataclass(frozen=True)
class Partial(AbstractTransport):
    r"""Pair the share of a batch that is cheapest to pair, and give the rest weight zero.

    .. math::
        \min_{P} \langle P, C \rangle, \qquad P 1 \le a, \; P^T 1 \le b, \; \sum P = \text{share}

    The rows left over stay in their places with the noise that is left, with weight 0; the others
    have weight ``rows / paired``. **Both marginals are tilted** towards rows that are near the
    other side: what a small batch has no good partner for is not learnt from that batch.

    Args:
        share: Share of the rows to pair, in (0, 1]; at least one row is.
        within_label: Solve within each label.

    Raises:
        InvalidInputError: share is not in (0, 1].

    References:
        2108.09645 (partial transport between minibatches).

    Example:
        >>> import torch
        >>> far = torch.tensor([[0.0], [0.1], [9.0]])
        >>> Partial(0.67).pair(torch.zeros(3, 1), far).weight.tolist()
        [1.5, 1.5, 0.0]
    """

    share: float = 0.9

    def __post_init__(self) -> None:
        check_positive(self, "share", largest=1)

    @property
    def keeps_marginals(self) -> bool:
        """False, unless everything is paired."""
        return self.share == 1

    def pair_group(
        self, z0: Tensor, z1: Tensor, label: Tensor | None, generator: torch.Generator | None
    ) -> Pairing:
        """Pair one group by an assignment with dummy rows that take what is left over."""
        # As many pairs are made whatever is taken off all costs, so their constant may go.
        cost = ends_of(z0, z1).cost_but_constant
        n = cost.shape[0]
        left = n - max(1, round(self.share * n))
        if left == 0:
            return Pairing(z0[assign(cost)], z1, label, torch.ones_like(cost[0]).to(z1.dtype))
        # A dummy takes any real row at the least cost. Two dummies that took each other would leave
        # one more real pair to be made; a cost above the least forbids it, and a large one hides
        # the rest.
        padded = torch.nn.functional.pad(cost - cost.amin(), (0, left, 0, left))
        padded[n:, n:] = padded.amax().clamp_min(1.0)
        warm = partial(potentials, deviation=cost.std(), temperatures=TEMPERATURES)
        found = assign(padded, warm=warm)
        partner, paired = found[:n], found[:n] < n
        unused = torch.ones(n, dtype=torch.bool, device=cost.device)
        unused[partner[paired]] = False
        noise = partner.clone()
        noise[~paired] = torch.nonzero(unused)[:, 0]
        weight = paired.to(z1.dtype) * (n / (n - left))
        return Pairing(z0[noise], z1, label, weight)
