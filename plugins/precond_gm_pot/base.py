"""What every transport coupling is: a plan for one group of rows, applied within each label."""

from __future__ import annotations

import abc
from dataclasses import dataclass, field

import torch
from torch import Tensor

from precond_gm.couplings import AbstractCoupling, pair_within_label
from precond_gm.couplings.within_label import check_pair
from precond_gm.values import Pairing

__all__ = ["AbstractTransport"]


@dataclass(frozen=True)
class AbstractTransport(AbstractCoupling):
    """Transport plan between the noise and the data of a batch. One required method.

    Args:
        within_label: Solve within each label (the default). False lets a label choose its noise,
            which skews the law of the noise given the label.
    """

    within_label: bool = field(default=True, kw_only=True)  # after the options of the subclass

    @abc.abstractmethod
    def pair_group(
        self, z0: Tensor, z1: Tensor, label: Tensor | None, generator: torch.Generator | None
    ) -> Pairing:
        """Pair the rows of one group, ``rows`` in, ``rows`` out."""

    @property
    def label_aware(self) -> bool:
        """Whether groups are labels."""
        return self.within_label

    @torch.no_grad()
    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        """Pair noise with data, within each label unless ``within_label`` is False."""
        check_pair(z0, z1, label)

        def group(z0: Tensor, z1: Tensor, label: Tensor | None) -> Pairing:
            return self.pair_group(z0, z1, label, generator)

        if self.within_label:
            return pair_within_label(group, z0, z1, label)
        return group(z0, z1, label)
