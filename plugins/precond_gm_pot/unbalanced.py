"""Unbalanced minibatch transport: far pairs count less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from precond_gm.couplings.plan import Plan
from precond_gm.options import check_counts, check_positive
from precond_gm_pot.base import AbstractEntropic
from precond_gm_pot.cost import Ends, mean_cost
from precond_gm_pot.entropic import to_tolerance, warn_if_off

__all__ = ["Unbalanced"]


@final
@dataclass(frozen=True)
class Unbalanced(AbstractEntropic):
    r"""Pair noise with data by an entropic plan whose marginals may give way.

    .. math::
        \min_P \langle P, C \rangle + \epsilon\, \mathrm{KL}(P \,\|\, a \otimes b)
        + \rho\, \mathrm{KL}(P 1 \,\|\, a) + \rho\, \mathrm{KL}(P^T 1 \,\|\, b)

    Each data row keeps its place, draws its noise from the plan and gets the plan's mass as its
    weight in the loss. **Both marginals are tilted**: rows far from the other side count less, so
    outliers in the data are learnt less, and the noise near them is not N(0, I) any more.

    Args:
        epsilon: Temperature, as a share of the mean squared distance.
        rho: Price of a marginal violation, as a share of the mean squared distance. A large one
            gives ``pot.sinkhorn``.
        tolerance: Total variation between the noise marginal and the one that its potential asks
            for, at which the sweeps stop.
        max_sweeps: Bound on the sweeps; a warning says if it was reached above ``tolerance``.
        within_label: Solve within each label.

    Raises:
        InvalidInputError: An option that is not positive.

    References:
        1607.05816, section 3 (scaling algorithm); 2103.03606 (unbalanced minibatch transport).

    Example:
        >>> import torch
        >>> far = torch.tensor([[0.0], [0.1], [9.0]])
        >>> weight = Unbalanced(rho=0.1).pair(torch.zeros(3, 1), far).weight
        >>> bool(weight[2] < 0.1 * weight[0])
        True
    """

    epsilon: float = 0.05
    rho: float = 1.0
    tolerance: float = 1e-3
    max_sweeps: int = 2000

    def __post_init__(self) -> None:
        check_positive(self, "epsilon", "rho")
        check_positive(self, "tolerance", largest=1)
        check_counts(self, "max_sweeps")

    @property
    def keeps_marginals(self) -> bool:
        """False: far rows lose mass on both sides."""
        return False

    def plans(self, ends: Ends, weight: Tensor) -> Plan:
        """Return plans with the mass of each data row, and warn if the sweeps stopped early."""
        cost = ends.cost
        unit = mean_cost(cost, weight).clamp_min(torch.finfo(cost.dtype).tiny)
        rho = self.rho * unit
        found, sweeps = to_tolerance(
            cost,
            weight,
            self.epsilon * unit,
            tolerance=self.tolerance,
            max_sweeps=self.max_sweeps,
            rho=rho,
        )
        warn_if_off(found, sweeps, self.tolerance, who="Unbalanced", remedy="'pot.partial'")
        law = torch.softmax(found.log_plan(cost, weight), 2)
        mass = torch.softmax(weight.log() - found.row / rho[:, None], 1)  # which sweeps end with
        return Plan(law, mass / weight.amax(1, keepdim=True))
