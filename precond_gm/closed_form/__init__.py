"""Exact bridges: the oracles that everything else is tested against."""

from precond_gm.closed_form.base import AbstractBridge, Marginal
from precond_gm.closed_form.binary import BinaryBridge
from precond_gm.closed_form.drift_error import DriftError
from precond_gm.closed_form.empirical import EmpiricalBridge
from precond_gm.closed_form.gaussian import GaussianBridge
from precond_gm.closed_form.mixture import GaussianMixtureBridge
from precond_gm.closed_form.point_mass import PointMassBridge

__all__ = [
    "AbstractBridge",
    "BinaryBridge",
    "DriftError",
    "EmpiricalBridge",
    "GaussianBridge",
    "GaussianMixtureBridge",
    "Marginal",
    "PointMassBridge",
]
