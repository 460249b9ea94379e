"""Couplings: the joint law of (noise, data) given the label."""

from precond_gm.couplings.ahead import PairsAhead
from precond_gm.couplings.base import AbstractCoupling
from precond_gm.couplings.gathered import Gathered
from precond_gm.couplings.gibbs import GibbsWeighted
from precond_gm.couplings.independent import Independent
from precond_gm.couplings.plan import HasPlan, Plan
from precond_gm.couplings.within_label import WithinLabel, pair_within_label
from precond_gm.registry import Registry

__all__ = [
    "REGISTRY",
    "AbstractCoupling",
    "Gathered",
    "GibbsWeighted",
    "HasPlan",
    "Independent",
    "PairsAhead",
    "Plan",
    "WithinLabel",
    "pair_within_label",
]

REGISTRY: Registry[AbstractCoupling] = Registry(
    "precond_gm.couplings",
    "coupling",
    AbstractCoupling,  # type: ignore[type-abstract]
)
