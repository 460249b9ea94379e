"""Grids of times by name: n steps are n + 1 increasing times in [0, 1]."""

from precond_gm.solvers.grids.make import GRIDS, make
from precond_gm.solvers.grids.standard import uniform

__all__ = ["GRIDS", "make", "uniform"]
