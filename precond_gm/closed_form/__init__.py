"""Exact bridges: the oracles that everything else is tested against."""

from precond_gm.closed_form.base import AbstractBridge, Marginal
from precond_gm.closed_form.drift_error import DriftError
from precond_gm.closed_form.gaussian import GaussianBridge

__all__ = ["AbstractBridge", "DriftError", "GaussianBridge", "Marginal"]
