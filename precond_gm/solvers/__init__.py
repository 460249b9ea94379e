"""Solvers: one step each, one loop for all, and the grids they run on."""

from precond_gm.registry import Registry
from precond_gm.solvers import grids
from precond_gm.solvers.base import AbstractSolver
from precond_gm.solvers.checks import check_accepts
from precond_gm.solvers.endpoint import Endpoint
from precond_gm.solvers.integrate import Solution, integrate
from precond_gm.solvers.noise_level import NoisyDynamics, at_noise_level, reverse_time
from precond_gm.solvers.ode import RK4, Euler, Heun, Midpoint
from precond_gm.solvers.roughness import Roughness, estimate_roughness
from precond_gm.solvers.sde import EulerMaruyama, StochasticHeun

REGISTRY: Registry[AbstractSolver] = Registry(
    "precond_gm.solvers",
    "solver",
    AbstractSolver,  # type: ignore[type-abstract]
)

__all__ = [
    "REGISTRY",
    "RK4",
    "AbstractSolver",
    "Endpoint",
    "Euler",
    "EulerMaruyama",
    "Heun",
    "Midpoint",
    "NoisyDynamics",
    "Roughness",
    "Solution",
    "StochasticHeun",
    "at_noise_level",
    "check_accepts",
    "estimate_roughness",
    "grids",
    "integrate",
    "reverse_time",
]
