"""Contract checks for anyone's parts: each raises AssertionError with what is wrong.

They need no test framework. A registered part, ours or a plugin's, is tested by being registered.
"""

from precond_gm.testing.coupling import check_coupling
from precond_gm.testing.divergence import check_divergence
from precond_gm.testing.path import check_path
from precond_gm.testing.preconditioner import check_preconditioner
from precond_gm.testing.solver import check_solver
from precond_gm.testing.time_law import check_time_law
from precond_gm.testing.weight import check_weight

__all__ = [
    "check_coupling",
    "check_divergence",
    "check_path",
    "check_preconditioner",
    "check_solver",
    "check_time_law",
    "check_weight",
]
