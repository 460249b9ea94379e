"""Entropic minibatch transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from precond_gm.couplings.plan import Plan
from precond_gm.errors import InvalidInputError
from precond_gm.options import check_counts, check_positive
from precond_gm_pot.assignment import assign
from precond_gm_pot.base import AbstractEntropic
from precond_gm_pot.cost import Ends, mean_cost
from precond_gm_pot.entropic import to_tolerance, warn_if_off

__all__ = ["Sinkhorn"]


@final
@dataclass(frozen=True)
class Sinkhorn(AbstractEntropic):
    r"""Pair noise with data by an entropic plan.

    .. math::
        \min_P \langle P, C \rangle + \epsilon\, \mathrm{KL}(P \,\|\, a \otimes b)

    Choose ``pot.exact`` for straight paths; choose this one for a Schroedinger bridge: with
    ``relative=False``, ``epsilon = 2 sigma**2`` on squared distances (4 for sigma = sqrt(2)) and
    the Brownian bridge of that sigma, training learns the bridge closest to Brownian motion.

    Args:
        epsilon: Temperature: a share of the mean squared distance, or a squared distance.
        relative: Whether ``epsilon`` is a share. On unscaled squared distances in 784 dimensions,
            0.05 underflows to a plan of zeros elsewhere; as a share it means the same everywhere.
        pairs: ``"sample"`` draws each data row's noise from the plan, without bias, so noise rows
            repeat; ``"round"`` takes the permutation of largest total probability, which uses every
            row once and is biased towards the exact plan.
        tolerance: Total variation of the noise marginal at which the sweeps stop.
        max_sweeps: Bound on the sweeps; a warning says if it was reached above ``tolerance``.
        within_label: Solve within each label.

    Raises:
        InvalidInputError: An option out of its range.

    References:
        1306.0895 (Sinkhorn); 2307.03672, section 3 (the bridge between minibatches).

    Example:
        >>> import torch
        >>> plan = Sinkhorn(0.01).plan(torch.tensor([[0.0], [1.0]]), torch.tensor([[5.0], [4.0]]))
        >>> plan.conditional.round(decimals=2).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """

    epsilon: float = 0.05
    relative: bool = True
    pairs: Literal["sample", "round"] = "sample"
    tolerance: float = 1e-3
    max_sweeps: int = 2000

    def __post_init__(self) -> None:
        check_positive(self, "epsilon")
        check_positive(self, "tolerance", largest=1)
        check_counts(self, "max_sweeps")
        if self.pairs not in ("sample", "round"):
            raise InvalidInputError(f"Sinkhorn: pairs is 'sample' or 'round'; got {self.pairs!r}.")

    def plans(self, ends: Ends, weight: Tensor) -> Plan:
        """Return plans, and warn if their noise marginals are wrong."""
        cost = ends.centred_cost  # potentials take up the rest
        unit = ends.scale.reciprocal().square()
        if self.relative:
            unit = mean_cost(cost, weight) + ends.gap.square().sum(1)
        smallest = torch.finfo(cost.dtype).eps * cost.amax((1, 2))  # what rounding leaves of a cost
        epsilon = torch.maximum(self.epsilon * unit, smallest)
        found, sweeps = to_tolerance(
            cost, weight, epsilon, tolerance=self.tolerance, max_sweeps=self.max_sweeps
        )
        warn_if_off(found, sweeps, self.tolerance, who="Sinkhorn", remedy="'pot.exact'")
        return Plan(torch.softmax(found.log_plan(cost, weight), 2))

    def choose(self, plan: Plan, counts: list[int], generator: torch.Generator | None) -> Tensor:
        """Draw from the plans, or round them."""
        if self.pairs == "sample":
            return plan.draw(generator)
        chosen = torch.zeros(plan.conditional.shape[:2], dtype=torch.long)
        for mine, each, count in zip(chosen, plan.conditional, counts, strict=True):
            mine[:count] = assign(-each[:count, :count])
        return chosen.to(plan.conditional.device)
