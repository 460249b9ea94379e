"""Divergences: how far a prediction is from its target, per row, target first."""

from precond_gm.objectives.divergences.base import AbstractDivergence
from precond_gm.objectives.divergences.domain import Domain
from precond_gm.objectives.divergences.euclidean import Squared
from precond_gm.registry import Registry

REGISTRY: Registry[AbstractDivergence] = Registry(
    "precond_gm.divergences",
    "divergence",
    AbstractDivergence,  # type: ignore[type-abstract]
)

__all__ = ["REGISTRY", "AbstractDivergence", "Domain", "Squared"]
