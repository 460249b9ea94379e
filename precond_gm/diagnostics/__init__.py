"""What holds training and sampling back, measured: each function returns a frozen report."""

from precond_gm.diagnostics.advice import AdviceReport, advise
from precond_gm.diagnostics.alignment import AlignmentReport, alignment, alignment_table
from precond_gm.diagnostics.assumptions import AssumptionsReport, assumptions
from precond_gm.diagnostics.binary import BinaryReport, binary
from precond_gm.diagnostics.conditioning import ConditioningReport, conditioning
from precond_gm.diagnostics.coupling import (
    CouplingReport,
    compare_couplings,
    coupling,
    path_curvature,
)
from precond_gm.diagnostics.early_stopping import EarlyStoppingReport, early_stopping
from precond_gm.diagnostics.effect import EffectReport, effect
from precond_gm.diagnostics.excess import ExcessRiskReport, excess_risk
from precond_gm.diagnostics.linear_descent import LinearDescentReport, linear_descent
from precond_gm.diagnostics.objectives import ObjectivesReport, objectives
from precond_gm.diagnostics.observer import Observer, ObserverReport, StagnationWarning
from precond_gm.diagnostics.quality import Metric, QualityReport, quality
from precond_gm.diagnostics.remedy import Remedy, remedies
from precond_gm.diagnostics.schedules import schedules
from precond_gm.diagnostics.solver_bias import exact_recovery
from precond_gm.diagnostics.step_size import (
    StepSizeComparison,
    StepSizeReport,
    compare_step_sizes,
    step_size,
)
from precond_gm.diagnostics.underfit import UnderfitReport, underfit

__all__ = [
    "AdviceReport",
    "AlignmentReport",
    "AssumptionsReport",
    "BinaryReport",
    "ConditioningReport",
    "CouplingReport",
    "EarlyStoppingReport",
    "EffectReport",
    "ExcessRiskReport",
    "LinearDescentReport",
    "Metric",
    "ObjectivesReport",
    "Observer",
    "ObserverReport",
    "QualityReport",
    "Remedy",
    "StagnationWarning",
    "StepSizeComparison",
    "StepSizeReport",
    "UnderfitReport",
    "advise",
    "alignment",
    "alignment_table",
    "assumptions",
    "binary",
    "compare_couplings",
    "compare_step_sizes",
    "conditioning",
    "coupling",
    "early_stopping",
    "effect",
    "exact_recovery",
    "excess_risk",
    "linear_descent",
    "objectives",
    "path_curvature",
    "quality",
    "remedies",
    "schedules",
    "step_size",
    "underfit",
]
