"""Exact minibatch optimal transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from precond_gm.couplings import Plan
from precond_gm.errors import InvalidInputError
from precond_gm.values import Pairing
from precond_gm_pot.assignment import SOLVERS, assign
from precond_gm_pot.base import AbstractTransport
from precond_gm_pot.cost import ends_of

__all__ = ["Exact"]


@final
@dataclass(frozen=True)
class Exact(AbstractTransport):
    r"""Pair noise with data by the permutation of least total squared distance.

    .. math::
        \min_{\pi} \sum_i \| z_0^{\pi(i)} - z_1^i \|^2

    For equal weights the optimal plan *is* a permutation, so every noise row and every data row
    is used exactly once; pairs are never drawn from the plan with replacement. Data rows stay in
    place and the noise is permuted, so labels keep their rows.

    Args:
        solver: ``"simplex"`` (POT), ``"assignment"`` (scipy), or ``"auto"``: the fastest for the
            size of the batch, see ``precond_gm_pot.assignment``.
        within_label: Solve within each label.

    Raises:
        InvalidInputError: No such solver.

    References:
        2302.00482 and 2304.14772: minibatch OT couplings; 2503.10636: why within labels.

    Example:
        >>> import torch
        >>> Exact().pair(torch.tensor([[0.0], [1.0]]), torch.tensor([[5.0], [4.0]])).z0.tolist()
        [[1.0], [0.0]]
    """

    solver: Literal["auto", "assignment", "simplex"] = "auto"

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise InvalidInputError(
                f"Exact: solver is one of {', '.join(SOLVERS)}; got {self.solver!r}."
            )

    def pair_group(
        self, z0: Tensor, z1: Tensor, label: Tensor | None, generator: torch.Generator | None
    ) -> Pairing:
        """Permute the noise of one group."""
        return Pairing(z0.index_select(0, self._partner(z0, z1)), z1, label)

    @torch.no_grad()
    def plan(self, z0: Tensor, z1: Tensor) -> Plan:
        """Return the plan between the rows of one label: a permutation, of entropy 0."""
        return Plan(
            torch.eye(len(z1), dtype=torch.float64, device=z1.device)[self._partner(z0, z1)]
        )

    def _partner(self, z0: Tensor, z1: Tensor) -> Tensor:
        """Return the number of the noise row of each data row."""
        if z0.shape[0] == 1:
            return torch.zeros(1, dtype=torch.long, device=z0.device)
        ends = ends_of(z0, z1)
        return assign(ends.inner_cost, self.solver)
