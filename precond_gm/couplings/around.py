"""What every coupling round another one shares: the inner coupling, its flags and its state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from precond_gm.couplings.base import AbstractCoupling
from precond_gm.couplings.independent import Independent
from precond_gm.numerics.rows import RowsLike

__all__ = ["AbstractAround"]


@dataclass(frozen=True)
class AbstractAround(AbstractCoupling):
    """A coupling that calls another one; how it pairs is left to the concrete class.

    Args:
        inner: The coupling; a name or ``(name, options)`` is resolved, so that recipes can say it.
    """

    inner: AbstractCoupling = Independent()  # noqa: RUF009 (frozen, so it can be shared)

    def __post_init__(self) -> None:
        from precond_gm.couplings import REGISTRY

        object.__setattr__(self, "inner", REGISTRY.resolve(self.inner))

    @property
    def keeps_marginals(self) -> bool:
        """Whether the inner coupling does."""
        return self.inner.keeps_marginals

    @property
    def is_independent(self) -> bool:
        """Whether the inner coupling is."""
        return self.inner.is_independent

    def fit(
        self,
        z1: RowsLike,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Fit the inner coupling."""
        self.inner.fit(z1, label, generator=generator)

    @property
    def needs_fit(self) -> bool:
        """Whether the inner coupling must be fitted."""
        return self.inner.needs_fit

    def state_dict(self) -> dict[str, Any]:
        """Return the inner coupling's state."""
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the inner coupling's state."""
        self.inner.load_state_dict(state)
