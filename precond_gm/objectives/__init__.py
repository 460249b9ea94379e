"""Objectives: prediction x loss space x divergence x weight x time law, composed freely."""

from precond_gm.objectives.binary import (
    BitLogits,
    check_preconditioned,
    check_rows_are_not_bits,
    fair_bit_logit,
)
from precond_gm.objectives.compose import compose, kind_of
from precond_gm.objectives.exchange import Reweighted, as_time_law, as_weight, with_time_law
from precond_gm.objectives.implied import ImpliedWeight, implied_weight
from precond_gm.objectives.objective import Objective
from precond_gm.objectives.spec import settings_of

__all__ = [
    "BitLogits",
    "ImpliedWeight",
    "Objective",
    "Reweighted",
    "as_time_law",
    "as_weight",
    "check_preconditioned",
    "check_rows_are_not_bits",
    "compose",
    "fair_bit_logit",
    "implied_weight",
    "kind_of",
    "settings_of",
    "with_time_law",
]
