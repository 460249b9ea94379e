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
from precond_gm_pot.cost import Ends, ends_of
from precond_gm_pot.groups import Groups, groups_of

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
    """Transport by a plan from sweeps, made for many groups at once. One required method.

    Below some two hundred rows a sweep takes the time of its calls, not of its arithmetic, so ten
    labels one after the other would take nearly ten times as long as together.
    """

    @abc.abstractmethod
    def plans(self, ends: Ends, weight: Tensor) -> Plan:
        """Return the plans of all groups.

        Args:
            ends: Noise and data, shape ``groups rows dim``.
            weight: Weight of each row, shape ``groups rows``; rows without weight are padding.
        """

    def choose(self, plan: Plan, counts: list[int], generator: torch.Generator | None) -> Tensor:
        """Return the number of the noise row of each data row, shape ``groups rows``.

        Args:
            plan: The plans of all groups.
            counts: Rows of each group, without the padding.
            generator: Source of the drawings; None uses torch's.
        """
        return plan.draw(generator)

    @torch.no_grad()
    def plan(self, z0: Tensor, z1: Tensor) -> Plan:
        """Return the plan between the rows of one label."""
        _, plan = next(self._solved(z0, z1, None))
        return Plan(plan.conditional[0], None if plan.mass is None else plan.mass[0])

    def _pair(
        self, z0: Tensor, z1: Tensor, label: Tensor | None, generator: torch.Generator | None
    ) -> Pairing:
        rows = len(z1)
        partner = torch.empty(rows + 1, dtype=torch.long, device=z1.device)
        weight = None if self.keeps_marginals else z1.new_empty(rows + 1)
        for some, plan in self._solved(z0, z1, label if self.within_label else None):
            place = torch.where(some.weight > 0, some.index, rows)  # padding goes to the last one
            partner[place] = some.index.gather(1, self.choose(plan, some.counts, generator))
            if weight is not None and plan.mass is not None:
                weight[place] = plan.mass.to(weight.dtype)
        return Pairing(
            z0.index_select(0, partner[:-1]), z1, label, None if weight is None else weight[:-1]
        )

    def _solved(
        self, z0: Tensor, z1: Tensor, label: Tensor | None
    ) -> Iterator[tuple[Groups, Plan]]:
        """Yield groups of rows with their plans."""
        ends = ends_of(z0, z1)
        for some in groups_of(label, ends.rows1):
            rows0, rows1 = some.gather(ends.rows0), some.gather(ends.rows1)
            yield some, self.plans(Ends(rows0, rows1, ends.scale, some.weight), some.weight)
