"""Objectives: prediction x loss space x divergence x weight x time law, composed freely."""

from precond_gm.objectives.compose import compose, kind_of
from precond_gm.objectives.implied import ImpliedWeight, implied_weight
from precond_gm.objectives.objective import Objective

__all__ = ["ImpliedWeight", "Objective", "compose", "implied_weight", "kind_of"]
