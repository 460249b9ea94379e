"""Independent pairs, weighted by their cost: transport without a solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from precond_gm.couplings.base import AbstractCoupling
from precond_gm.couplings.within_label import check_pair, pair_within_label
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.rows import flatten
from precond_gm.options import check_positive
from precond_gm.values import Pairing

__all__ = ["GibbsWeighted"]


@final
@dataclass(frozen=True)
class GibbsWeighted(AbstractCoupling):
    r"""Keep independent pairs and weight each by ``exp(-cost / epsilon)``.

    No assignment is solved, and any batch size gives the same law. **Both marginals are tilted**:
    with N(0, 1) on both sides and squared distance, the variance of either becomes
    ``(1 + 2/epsilon) / (1 + 4/epsilon)``. Weights have mean one within each label, so that labels
    keep their frequencies.

    Args:
        epsilon: Temperature: a share of the mean squared distance of the batch's pairs, or a
            squared distance. In many dimensions a small one leaves few pairs with any weight.
        relative: Whether ``epsilon`` is a share.

    Raises:
        InvalidInputError: epsilon is not positive.

    References:
        2507.22270, section 3.

    Example:
        >>> import torch
        >>> z0, z1 = torch.zeros(2, 1), torch.tensor([[1.0], [2.0]])
        >>> weight = GibbsWeighted(1.0, relative=False).pair(z0, z1).weight
        >>> f"{float((weight[0] / weight[1]).log()):.4f}"
        '3.0000'
    """

    epsilon: float = 1.0
    relative: bool = True

    def __post_init__(self) -> None:
        check_positive(self, "epsilon")

    @property
    def keeps_marginals(self) -> bool:
        """False: both ends are tilted towards each other."""
        return False

    @property
    def label_aware(self) -> bool:
        """False: the tilt depends on the label's data."""
        return False

    @torch.no_grad()
    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        """Return the rows as they are, with their weights."""
        check_pair(z0, z1, label)
        cost = flatten(z1.double() - z0.double()).square().sum(1)  # overflows in float32
        if not bool(torch.isfinite(cost).all()):
            raise InvalidInputError(
                "GibbsWeighted: the cost of a pair is not finite: noise or data hold NaN or "
                "infinity. Check the data where they enter, with "
                "precond_gm.numerics.rows.check_rows for example."
            )
        unit = cost.mean().clamp_min(torch.finfo(cost.dtype).tiny) if self.relative else 1.0
        exponent = -cost / (self.epsilon * unit)

        def weigh(index: Tensor, z1: Tensor, label: Tensor | None) -> Pairing:
            weight = torch.softmax(exponent[index[:, 0]], 0) * index.shape[0]
            return Pairing(z0[index[:, 0]], z1, label, weight.to(z1.dtype))

        index = torch.arange(z1.shape[0], device=z1.device)[:, None]
        return pair_within_label(weigh, index, z1, label)
