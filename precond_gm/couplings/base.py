"""What every coupling is: the joint law of (noise, data) given the label."""

from __future__ import annotations

import abc
from typing import Any

import torch
from torch import Tensor

from precond_gm.errors import CheckpointError
from precond_gm.numerics.rows import RowsLike
from precond_gm.values import Pairing

__all__ = ["AbstractCoupling"]


class AbstractCoupling(abc.ABC):
    """Joint law of (noise, data) given the label. One required method.

    Concrete couplings are frozen dataclasses of their options; fitted state, where there is any,
    goes through ``state_dict`` and ``load_state_dict``. The three properties say what the coupling
    promises; they are properties because a wrapper promises what it wraps.
    """

    @property
    def keeps_marginals(self) -> bool:
        """Whether source and data keep their laws; False means a tilt that the class states."""
        return True

    @property
    def label_aware(self) -> bool:
        """Whether the source keeps its law within each label."""
        return True

    @property
    def is_independent(self) -> bool:
        """Whether source and data are independent given the label, so that the score is known."""
        return False

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

    def fit(  # noqa: B027 (a hook: most couplings have nothing to fit)
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
        """Restore fitted tensors.

        Raises:
            CheckpointError: The coupling has no state, and the file holds some.
        """
        if state:
            raise CheckpointError(
                f"{type(self).__name__} has no fitted state, but the checkpoint holds "
                f"{', '.join(state)}. Load it with the coupling it was saved with."
            )
