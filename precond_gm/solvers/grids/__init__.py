"""Grids of times by name: n steps are n + 1 increasing times in [0, 1]."""

from precond_gm.solvers.grids.geometric import geometric, theorem3
from precond_gm.solvers.grids.make import GRIDS, GridLike, make
from precond_gm.solvers.grids.path_kl_optimal import path_kl_optimal
from precond_gm.solvers.grids.standard import early_stopping, edm, shifted, uniform

__all__ = [
    "GRIDS",
    "GridLike",
    "early_stopping",
    "edm",
    "geometric",
    "make",
    "path_kl_optimal",
    "shifted",
    "theorem3",
    "uniform",
]
