"""The coupling that changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from precond_gm.couplings.base import AbstractCoupling
from precond_gm.values import Pairing

__all__ = ["Independent"]


@final
@dataclass(frozen=True)
class Independent(AbstractCoupling):
    """Leave noise and data paired as they come: the product law, given the label.

    It is the only coupling under which the score follows from the dynamics.

    Example:
        >>> import torch
        >>> Independent().pair(torch.zeros(2, 1), torch.ones(2, 1)).z0.shape
        torch.Size([2, 1])
    """

    @property
    def is_independent(self) -> bool:
        """True: noise and data are independent."""
        return True

    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        """Return the rows as they are."""
        return Pairing(z0, z1, label)
