"""Time laws: how often each t is drawn in training."""

from precond_gm.objectives.time_laws.base import AbstractTimeLaw, Sampling
from precond_gm.objectives.time_laws.uniform import Uniform
from precond_gm.registry import Registry

REGISTRY: Registry[AbstractTimeLaw] = Registry(
    "precond_gm.time_laws",
    "time law",
    AbstractTimeLaw,  # type: ignore[type-abstract]
)

__all__ = ["REGISTRY", "AbstractTimeLaw", "Sampling", "Uniform"]
