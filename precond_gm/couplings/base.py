"""What every coupling is: the joint law of (noise, data) given the label."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import torch
from torch import Tensor

from precond_gm.numerics.rows import RowsLike
from precond_gm.values import Pairing

__all__ = ["AbstractCoupling"]


class AbstractCoupling(abc.ABC):
    """Joint law of (noise, data) given the label. One required method.

    Concrete couplings are frozen dataclasses of their options; fitted state, where there is any,
    goes through ``state_dict`` and ``load_state_dict``.

    Attributes:
        keeps_marginals: Whether source and data keep their laws; False means a stated tilt.
        label_aware: Whether the source stays N(0, I) within each label.
        is_independent: Whether source and data are independent, so that the score is known.
    """

    keeps_marginals: ClassVar[bool] = True
    label_aware: ClassVar[bool] = True
    is_independent: ClassVar[bool] = False

    @abc.abstractmethod
    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        """Pair noise with data, ``batch`` rows out; the label of each data row is kept."""

    def fit(
        self,
        z1: RowsLike,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Fit to the data set, for couplings that need it; the others do nothing."""

    @property
    def needs_fit(self) -> bool:
        """Whether ``fit`` must be called before ``pair``."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Return fitted tensors; empty for couplings without state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore fitted tensors."""
