"""Reversible, label-conditional maps between data and the coordinates a network is trained in."""

from __future__ import annotations

from precond_gm.preconditioners.affine import AbstractAffine
from precond_gm.preconditioners.base import AbstractPreconditioner, FitReport
from precond_gm.preconditioners.bounded import AffineRange, Logit
from precond_gm.preconditioners.cache import precondition_cached
from precond_gm.preconditioners.chain import Chain
from precond_gm.preconditioners.composite import AbstractComposite
from precond_gm.preconditioners.flows import AbstractFlow
from precond_gm.preconditioners.hierarchical import Hierarchical
from precond_gm.preconditioners.identity import Identity
from precond_gm.preconditioners.lowrank import LowRank
from precond_gm.preconditioners.patch import Channel, Patch
from precond_gm.preconditioners.spectral import Spectral
from precond_gm.preconditioners.standardize import Standardize
from precond_gm.preconditioners.whiten import Whiten
from precond_gm.registry import Registry

__all__ = [
    "REGISTRY",
    "AbstractAffine",
    "AbstractComposite",
    "AbstractFlow",
    "AbstractPreconditioner",
    "AffineRange",
    "Chain",
    "Channel",
    "FitReport",
    "Hierarchical",
    "Identity",
    "Logit",
    "LowRank",
    "Patch",
    "Spectral",
    "Standardize",
    "Whiten",
    "precondition_cached",
]

REGISTRY: Registry[AbstractPreconditioner] = Registry(
    "precond_gm.preconditioners",
    "preconditioner",
    AbstractPreconditioner,  # type: ignore[type-abstract]
    combine=Chain,
)
