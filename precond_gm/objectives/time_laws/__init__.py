"""Time laws: how often each t is drawn in training."""

from precond_gm.objectives.time_laws.adaptive import Adaptive
from precond_gm.objectives.time_laws.base import AbstractTimeLaw, FixedTimeLaw, Sampling
from precond_gm.objectives.time_laws.logit_normal import EDM, JiT, LogitNormal
from precond_gm.objectives.time_laws.shapes import Shifted, UShaped
from precond_gm.objectives.time_laws.table import Beta, Tabulated
from precond_gm.objectives.time_laws.uniform import Grid, Uniform
from precond_gm.registry import Registry

REGISTRY: Registry[AbstractTimeLaw] = Registry(
    "precond_gm.time_laws",
    "time law",
    AbstractTimeLaw,  # type: ignore[type-abstract]
)

__all__ = [
    "EDM",
    "REGISTRY",
    "AbstractTimeLaw",
    "Adaptive",
    "Beta",
    "FixedTimeLaw",
    "Grid",
    "JiT",
    "LogitNormal",
    "Sampling",
    "Shifted",
    "Tabulated",
    "UShaped",
    "Uniform",
]
