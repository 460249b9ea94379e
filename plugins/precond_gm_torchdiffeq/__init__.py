"""Adaptive ODE solvers of torchdiffeq."""

from __future__ import annotations

from precond_gm_torchdiffeq.adaptive import Adaptive

__all__ = ["Adaptive"]
