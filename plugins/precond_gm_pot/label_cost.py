"""Exact transport that pays for taking another label's noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from precond_gm.couplings import AbstractCoupling
from precond_gm.couplings.within_label import check_pair
from precond_gm.errors import InvalidInputError
from precond_gm.values import Pairing
from precond_gm_pot.assignment import assign
from precond_gm_pot.cost import ends_of

__all__ = ["LabelCost"]


@final
@dataclass(frozen=True)
class LabelCost(AbstractCoupling):
    r"""Exact transport under the data cost plus ``weight`` times a label cost.

    .. math::
        C_{ij} = \| z_1^i - z_0^j \|^2 + w \, 1[y_i \ne y_j]

    Noise row j carries the label of data row j, with which it was drawn. An infinite weight is
    transport within labels; a finite one lets some noise cross, lowers the cost, and keeps the
    noise within a label N(0, I) only nearly. Batches with many labels and few rows of each gain
    most from it.

    Args:
        ratio: Where no weight is given: the share of pairs across labels that stay cheaper than the
            pair as drawn, in [0, 1). The weight is then a quantile of the batch.
        weight: The weight w in units of squared distance, or None to find it from ``ratio``.

    Raises:
        InvalidInputError: An option out of range, or a batch without labels.

    References:
        2503.10636, section 4: a conditional weighting term, and its weight from a target ratio.

    Example:
        >>> import torch
        >>> z0, z1 = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [0.0]])
        >>> label = torch.tensor([0, 1])
        >>> [LabelCost(weight=w).pair(z0, z1, label).z0.flatten().tolist() for w in (0.0, 9.0)]
        [[1.0, 0.0], [0.0, 1.0]]
    """

    ratio: float = 0.01
    weight: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.ratio < 1:
            raise InvalidInputError(f"LabelCost: ratio is in [0, 1); got {self.ratio}.")
        if self.weight is not None and not self.weight >= 0:
            raise InvalidInputError(f"LabelCost: weight is 0 or more; got {self.weight}.")

    @property
    def label_aware(self) -> bool:
        """False: with a finite weight the noise within a label is N(0, I) only nearly."""
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
        """Permute the noise of the batch."""
        check_pair(z0, z1, label)
        if label is None:
            raise InvalidInputError(
                "the coupling 'label-cost' needs the label of each data row, and this batch has "
                "none. Pass label=, or use the coupling 'ot'."
            )
        ends = ends_of(z0, z1)
        cost = ends.centred_cost
        crosses = label[:, None] != label[None, :]
        if self.weight is None:
            weight = self.weight_of(ends.cost_but_constant, crosses)
        else:
            weight = self.weight / ends.scale / ends.scale
        # What a row adds to all its costs is the same in every permutation. A weight above the cost
        # of all pairs together forbids crossing; a larger one, or infinity, does no more.
        highest = (len(z1) * cost.amax()).clamp_min(1.0)
        paired = assign(cost + torch.minimum(weight, highest) * crosses)
        return Pairing(z0.index_select(0, paired), z1, label)

    def weight_of(self, cost: Tensor, crosses: Tensor) -> Tensor:
        """Return the weight that leaves ``ratio`` of the crossing pairs below the drawn one."""
        gain = (cost.diagonal()[:, None] - cost)[crosses]
        if not gain.numel():
            return cost.new_zeros(())
        above = min(gain.numel() - 1, int(self.ratio * gain.numel()))
        return gain.kthvalue(gain.numel() - above).values.clamp_min(0)
