"""How far Euler-Maruyama is from the truth, and how many steps are enough."""

from precond_gm.diagnostics.step_size.compare import StepSizeComparison, compare_step_sizes
from precond_gm.diagnostics.step_size.recommend import Recommendation
from precond_gm.diagnostics.step_size.replicates import Slope
from precond_gm.diagnostics.step_size.report import StepSizeReport
from precond_gm.diagnostics.step_size.study import step_size

__all__ = [
    "Recommendation",
    "Slope",
    "StepSizeComparison",
    "StepSizeReport",
    "compare_step_sizes",
    "step_size",
]
