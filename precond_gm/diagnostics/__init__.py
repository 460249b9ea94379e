"""What holds training and sampling back, measured: each function returns a frozen report."""

from precond_gm.diagnostics.conditioning import ConditioningReport, conditioning
from precond_gm.diagnostics.quality import Metric, QualityReport, quality
from precond_gm.diagnostics.step_size import StepSizeReport, step_size

__all__ = [
    "ConditioningReport",
    "Metric",
    "QualityReport",
    "StepSizeReport",
    "conditioning",
    "quality",
    "step_size",
]
