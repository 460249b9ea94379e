"""Flows of zuko as preconditioners."""

from __future__ import annotations

from precond_gm_zuko.closed_form import NSF, RealNVP

__all__ = ["NSF", "RealNVP"]
