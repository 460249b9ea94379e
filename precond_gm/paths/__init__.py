"""Paths: the conditional law of ``z_t`` given a pair, with its regression target."""

from precond_gm.paths.base import AbstractPath, standard_normal
from precond_gm.paths.brownian_bridge import BrownianBridge
from precond_gm.paths.interpolant import Interpolant
from precond_gm.paths.linear import LinearPath
from precond_gm.paths.reschedule import Rescheduled
from precond_gm.paths.trigonometric import Trigonometric
from precond_gm.paths.variance_preserving import VariancePreserving
from precond_gm.paths.warped import Warped
from precond_gm.registry import Registry

__all__ = [
    "REGISTRY",
    "AbstractPath",
    "BrownianBridge",
    "Interpolant",
    "LinearPath",
    "Rescheduled",
    "Trigonometric",
    "VariancePreserving",
    "Warped",
    "standard_normal",
]

REGISTRY: Registry[AbstractPath] = Registry(
    "precond_gm.paths",
    "path",
    AbstractPath,  # type: ignore[type-abstract]
)
