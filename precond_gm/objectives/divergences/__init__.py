"""Divergences: how far a prediction is from its target, per row, target first."""

from precond_gm.objectives.divergences.base import AbstractDivergence
from precond_gm.objectives.divergences.domain import Domain
from precond_gm.objectives.divergences.euclidean import Mahalanobis, Squared
from precond_gm.objectives.divergences.logits import BinaryCrossEntropy, CrossEntropy
from precond_gm.objectives.divergences.matrices import Frobenius, LogDet, VonNeumann
from precond_gm.objectives.divergences.not_bregman import Huber, UserDivergence
from precond_gm.objectives.divergences.positive import GeneralisedKL, ItakuraSaito
from precond_gm.objectives.divergences.separable import Output, Separable
from precond_gm.registry import Registry

REGISTRY: Registry[AbstractDivergence] = Registry(
    "precond_gm.divergences",
    "divergence",
    AbstractDivergence,  # type: ignore[type-abstract]
)

__all__ = [
    "REGISTRY",
    "AbstractDivergence",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Domain",
    "Frobenius",
    "GeneralisedKL",
    "Huber",
    "ItakuraSaito",
    "LogDet",
    "Mahalanobis",
    "Output",
    "Separable",
    "Squared",
    "UserDivergence",
    "VonNeumann",
]
