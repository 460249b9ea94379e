"""Tracking: MLflow, and nothing else in the package knows it."""

from precond_gm.tracking.tracker import MlflowTracker

__all__ = ["MlflowTracker"]
