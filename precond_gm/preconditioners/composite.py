"""Maps that are a fixed chain of others under one name."""

from __future__ import annotations

import abc
import dataclasses

import torch
from torch import Tensor

from precond_gm.numerics.rows import RowsLike
from precond_gm.preconditioners.base import AbstractPreconditioner, FitReport
from precond_gm.preconditioners.chain import Chain
from precond_gm.values import InverseKind, Transformed

__all__ = ["AbstractComposite"]


class AbstractComposite(AbstractPreconditioner):
    """A map that hands everything to a chain.

    Args:
        chain: The chain.
    """

    inverse_kind = InverseKind.CLOSED_FORM

    @abc.abstractmethod
    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self.chain = chain

    def fit(
        self,
        x: RowsLike,
        label: Tensor | None = None,
        *,
        num_labels: int | None = None,
        max_steps: int | None = None,
        generator: torch.Generator | None = None,
    ) -> FitReport:
        """Fit the parts one after the other."""
        report = self.chain.fit(
            x, label, num_labels=num_labels, max_steps=max_steps, generator=generator
        )
        self._settle()
        return dataclasses.replace(report, name=type(self).__name__)

    def build(self, event_shape: tuple[int, ...], num_labels: int | None) -> None:
        """Allocate every tensor that ``fit`` fills."""
        self.chain.build(event_shape, num_labels)
        self._settle()

    def forward(self, x: Tensor, label: Tensor | None = None) -> Transformed:
        """Map data to preconditioned coordinates."""
        self.require(x, label)
        return self.chain(x, label)

    def inverse(self, z: Tensor, label: Tensor | None = None) -> Transformed:
        """Map preconditioned coordinates back to data."""
        self.require(z, label)
        return self.chain.inverse(z, label)

    def _settle(self) -> None:
        self.event_shape, self.num_labels = self.chain.event_shape, self.chain.num_labels
