"""Optimal-transport couplings, solved with POT and scipy."""

from precond_gm_pot.base import AbstractTransport
from precond_gm_pot.exact import Exact

__all__ = ["AbstractTransport", "Exact"]
