"""What every transport coupling is: a plan for one group of rows, applied within each label."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from precond_gm.couplings import AbstractCoupling, Plan, pair_within_label
from precond_gm.couplings.within_label import check_pair
from precond_gm.values import Pairing
from precond_gm_pot.cost import squared_distances, unit_rows
from precond_gm_pot.groups import groups_of

__all__ = ["AbstractEntropic", "AbstractTransport"]


@dataclass(frozen=True)
class AbstractGrouped(AbstractCoupling):
    """Transport between the noise and the data of a batch, or of each label in it.

    Args:
        within_label: Solve within each label (the default). False lets a label choose its noise,
            which skews the law of the noise given the label.
    """

    within_label: bool = field(default=True, kw_only=True)  # after the options of the subclass

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
        return self._pair(z0, z1, label, generator)

    @abc.abstractmethod
    def _pair(
        self, z0: Tensor, z1: Tensor, label: Tensor | None, generator: torch.Generator | None
    ) -> Pairing:
        """Pair rows that were checked."""


@dataclass(frozen=True)
class AbstractTransport(AbstractGrouped):
    """Transport that pairs one group after the other. One required method."""

    @abc.abstractmethod
    def pair_group(
        self, z0: Tensor, z1: Tensor, label: Tensor | None, generator: torch.Generator | None
    ) -> Pairing:
        """Pair the rows of one group, ``rows`` in, ``rows`` out."""

    def _pair(
        self, z0: Tensor, z1: Tensor, label: Tensor | None, generator: torch.Generator | None
    ) -> Pairing:
        def group(z0: Tensor, z1: Tensor, label: Tensor | None) -> Pairing:
            return self.pair_group(z0, z1, label, generator)

        if self.within_label:
            return pair_within_label(group, z0, z1, label)
        return group(z0, z1, label)


@dataclass(frozen=True)
class AbstractEntropic(AbstractGrouped):
    """Transport by a plan from sweeps, made for many groups at once. Two required methods.

    Below some two hundred rows a sweep takes the time of its calls, not of its arithmetic, so ten
    labels one after the other would take nearly ten times as long as together.
    """

    @abc.abstractmethod
    def plans(self, cost: Tensor, weight: Tensor, scale: Tensor) -> Plan:
        """Return the plans of all groups.

        Args:
            cost: Squared distances of scaled rows, shape ``groups data noise``.
            weight: Weight of each row, shape ``groups rows``; rows without weight are padding.
            scale: What the rows were divided by.
        """

    @abc.abstractmethod
    def choose(self, plan: Plan, generator: torch.Generator | None) -> Tensor:
        """Return the number of the noise row of each data row, from the plan of one group."""

    @torch.no_grad()
    def plan(self, z0: Tensor, z1: Tensor) -> Plan:
        """Return the plan between the rows of one label."""
        return next(self._solved(z0, z1, None))[1]

    def _pair(
        self, z0: Tensor, z1: Tensor, label: Tensor | None, generator: torch.Generator | None
    ) -> Pairing:
        partner = torch.arange(len(z1), device=z1.device)
        weight = None if self.keeps_marginals else torch.ones_like(partner, dtype=z1.dtype)
        for rows, plan in self._solved(z0, z1, label if self.within_label else None):
            partner[rows] = rows[self.choose(plan, generator)]
            if weight is not None and plan.mass is not None:
                weight[rows] = plan.mass.to(weight.dtype)
        return Pairing(z0[partner], z1, label, weight)

    def _solved(
        self, z0: Tensor, z1: Tensor, label: Tensor | None
    ) -> Iterator[tuple[Tensor, Plan]]:
        """Yield the rows of each label with their plan."""
        rows0, rows1, scale = unit_rows(z0, z1)
        for some in groups_of(label, rows1):
            data, noise = rows1[some.index], rows0[some.index]
            centre = (some.weight[..., None] * data).sum(1, keepdim=True)
            cost = squared_distances(data - centre, noise - centre)
            plans = self.plans(cost, some.weight, scale)
            for k, rows in enumerate(some.rows):
                conditional = plans.conditional[k, : len(rows), : len(rows)]
                mass = None if plans.mass is None else plans.mass[k, : len(rows)]
                yield rows, Plan(conditional, mass)
