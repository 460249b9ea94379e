"""precond_gm: make any flow-matching model train and sample well, and prove it with numbers.

This module is a table of contents; every name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from precond_gm import (
        checkpoint,
        closed_form,
        couplings,
        data,
        diagnostics,
        errors,
        flow,
        models,
        objectives,
        paths,
        preconditioners,
        report,
        solvers,
        testing,
        tracking,
        training,
        values,
    )
    from precond_gm.checkpoint import load, save
    from precond_gm.flow.decorate import unwrapped
    from precond_gm.flow.preconditioned import PreconditionedFlow
    from precond_gm.flow.wrap import wrap
    from precond_gm.objectives import divergences, time_laws, weights

__version__ = "0.1.0"

_MODULES = {
    "checkpoint": "precond_gm.checkpoint",
    "closed_form": "precond_gm.closed_form",
    "couplings": "precond_gm.couplings",
    "data": "precond_gm.data",
    "diagnostics": "precond_gm.diagnostics",
    "divergences": "precond_gm.objectives.divergences",
    "errors": "precond_gm.errors",
    "flow": "precond_gm.flow",
    "models": "precond_gm.models",
    "objectives": "precond_gm.objectives",
    "paths": "precond_gm.paths",
    "preconditioners": "precond_gm.preconditioners",
    "report": "precond_gm.report",
    "solvers": "precond_gm.solvers",
    "testing": "precond_gm.testing",
    "time_laws": "precond_gm.objectives.time_laws",
    "tracking": "precond_gm.tracking",
    "training": "precond_gm.training",
    "values": "precond_gm.values",
    "weights": "precond_gm.objectives.weights",
}
_NAMES = {
    "PreconditionedFlow": "precond_gm.flow",
    "load": "precond_gm.checkpoint",
    "save": "precond_gm.checkpoint",
    "unwrapped": "precond_gm.flow",
    "wrap": "precond_gm.flow",
}

__all__ = [
    "PreconditionedFlow",
    "checkpoint",
    "closed_form",
    "couplings",
    "data",
    "diagnostics",
    "divergences",
    "errors",
    "flow",
    "load",
    "models",
    "objectives",
    "paths",
    "preconditioners",
    "report",
    "save",
    "solvers",
    "testing",
    "time_laws",
    "tracking",
    "training",
    "unwrapped",
    "values",
    "weights",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'precond_gm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
