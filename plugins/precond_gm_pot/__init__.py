"""Optimal-transport couplings, solved with POT and scipy."""

from precond_gm_pot.base import AbstractTransport
from precond_gm_pot.exact import Exact
from precond_gm_pot.label_cost import LabelCost
from precond_gm_pot.partial import Partial
from precond_gm_pot.semidiscrete import Semidiscrete
from precond_gm_pot.sinkhorn import Sinkhorn
from precond_gm_pot.unbalanced import Unbalanced

__all__ = [
    "AbstractTransport",
    "Exact",
    "LabelCost",
    "Partial",
    "Semidiscrete",
    "Sinkhorn",
    "Unbalanced",
]
