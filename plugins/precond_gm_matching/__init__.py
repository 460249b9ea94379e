"""A small flow-matching model as a preconditioner of another."""

from __future__ import annotations

from precond_gm_matching.flow_matching import FlowMatching

__all__ = ["FlowMatching"]
