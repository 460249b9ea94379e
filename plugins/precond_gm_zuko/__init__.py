"""Flows of zuko as preconditioners."""

from __future__ import annotations

from precond_gm_zuko.closed_form import MAF, NICE, NSF, RealNVP
from precond_gm_zuko.numerical import BPF, CNF, GF, NAF, SOSPF, UNAF

__all__ = ["BPF", "CNF", "GF", "MAF", "NAF", "NICE", "NSF", "SOSPF", "UNAF", "RealNVP"]
