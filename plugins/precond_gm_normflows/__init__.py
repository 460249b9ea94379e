"""Flows of normflows as preconditioners."""

from __future__ import annotations

from precond_gm_normflows.coupling import RQS, RealNVP
from precond_gm_normflows.glow import Glow
from precond_gm_normflows.residual import Residual

__all__ = ["RQS", "Glow", "RealNVP", "Residual"]
