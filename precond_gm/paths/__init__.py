"""Paths: the conditional law of ``z_t`` given a pair, with its regression target."""

from precond_gm.paths.base import AbstractPath, standard_normal
from precond_gm.paths.brownian_bridge import BrownianBridge
from precond_gm.paths.linear import LinearPath
from precond_gm.registry import Registry

__all__ = ["REGISTRY", "AbstractPath", "BrownianBridge", "LinearPath", "standard_normal"]

REGISTRY: Registry[AbstractPath] = Registry(
    "precond_gm.paths",
    "path",
    AbstractPath,  # type: ignore[type-abstract]
)
