"""Frozen records, kinds and protocols that every layer shares."""

from precond_gm.values.kinds import InverseKind, TargetKind
from precond_gm.values.protocols import Dynamics, Field
from precond_gm.values.records import (
    Batch,
    Coefficients,
    LossTerms,
    Pairing,
    PathSample,
    Samples,
    Transformed,
)
from precond_gm.values.report import AbstractReport
from precond_gm.values.scaling import Scaling

__all__ = [
    "AbstractReport",
    "Batch",
    "Coefficients",
    "Dynamics",
    "Field",
    "InverseKind",
    "LossTerms",
    "Pairing",
    "PathSample",
    "Samples",
    "Scaling",
    "TargetKind",
    "Transformed",
]
