"""Weights: positive functions of t that multiply the loss."""

from precond_gm.objectives.weights.base import AbstractWeight
from precond_gm.objectives.weights.fixed import Constant
from precond_gm.registry import Registry

REGISTRY: Registry[AbstractWeight] = Registry(
    "precond_gm.weights",
    "weight",
    AbstractWeight,  # type: ignore[type-abstract]
)

__all__ = ["REGISTRY", "AbstractWeight", "Constant"]
