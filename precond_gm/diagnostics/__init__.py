"""What holds training and sampling back, measured: each function returns a frozen report."""

from precond_gm.diagnostics.conditioning import ConditioningReport, conditioning

__all__ = ["ConditioningReport", "conditioning"]
