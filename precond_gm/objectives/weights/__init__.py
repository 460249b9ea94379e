"""Weights: positive functions of t that multiply the loss."""

from precond_gm.objectives.weights.base import AbstractWeight
from precond_gm.objectives.weights.equalising import VarianceEqualising
from precond_gm.objectives.weights.fixed import Constant, InverseRemaining, UserWeight
from precond_gm.objectives.weights.learned import Learned
from precond_gm.objectives.weights.signal_to_noise import EDM, SNR, MinSNR
from precond_gm.registry import Registry

REGISTRY: Registry[AbstractWeight] = Registry(
    "precond_gm.weights",
    "weight",
    AbstractWeight,  # type: ignore[type-abstract]
)

__all__ = [
    "EDM",
    "REGISTRY",
    "SNR",
    "AbstractWeight",
    "Constant",
    "InverseRemaining",
    "Learned",
    "MinSNR",
    "UserWeight",
    "VarianceEqualising",
]
