"""What is refused before any work: a grid, a noise level or a pair of parts that is wrong."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from precond_gm.errors import (
    IncompatiblePartsError,
    InvalidInputError,
    InvalidTypeError,
    UnknownNameError,
)
from precond_gm.numerics.brownian import Brownian
from precond_gm.solvers.base import AbstractSolver
from precond_gm.values import TargetKind

__all__ = ["check_accepts", "check_diffusion", "check_noise", "check_solver", "check_start"]

_REMEDY = {
    TargetKind.DRIFT: "Use solver EulerMaruyama(), or path LinearPath() if an ODE is wanted.",
    TargetKind.VELOCITY: "Use solver Heun(), or path BrownianBridge() if an SDE is wanted.",
}


def check_accepts(solver: AbstractSolver, kind: TargetKind, path: Any) -> None:
    """Refuse a solver that is wrong for the dynamics of a path, before any work.

    Args:
        solver: The solver.
        kind: Dynamics of the path, ``VELOCITY`` or ``DRIFT``.
        path: The path, or its description, for the message.

    Raises:
        IncompatiblePartsError: The solver does not accept ``kind``.

    Example:
        >>> from precond_gm.solvers import EulerMaruyama
        >>> check_accepts(EulerMaruyama(), TargetKind.DRIFT, "BrownianBridge()")
    """
    if kind in solver.accepts:
        return
    accepted = " or ".join(sorted(k.name for k in solver.accepts))
    raise IncompatiblePartsError(
        f"the path's target is a {kind.name} but the solver {_name(solver)!r} accepts {accepted}.\n"
        f"  path:   {path}\n"
        f"  solver: {solver!r}\n"
        f"{_REMEDY.get(kind, 'Use a path whose kind is VELOCITY or DRIFT.')}"
    )


def check_diffusion(solver: AbstractSolver, diffusion: float) -> None:
    """Refuse a negative diffusion, and a solver that would leave the noise of an SDE out.

    A drift solver with diffusion 0 is fine: it is the ODE limit of its scheme.

    Raises:
        InvalidInputError: Negative or not finite.
        IncompatiblePartsError: A positive diffusion with an ODE solver.
    """
    if not math.isfinite(diffusion) or diffusion < 0:
        raise InvalidInputError(
            f"diffusion is {diffusion}; it is a finite number, 0 or more: path.diffusion."
        )
    if diffusion > 0 and TargetKind.DRIFT not in solver.accepts:
        raise IncompatiblePartsError(
            f"diffusion is {diffusion:.6g}, so this is an SDE, but the solver {_name(solver)!r} "
            f"is for ODEs and would leave the noise out. Use solver EulerMaruyama(), or "
            f"diffusion=0 with the velocity of the path."
        )


def check_noise(
    noise: Tensor | Brownian | None, grid: list[float], z0: Tensor, diffusion: float
) -> Tensor | None:
    """Return given increments; refuse those that do not fit grid and rows, or would not be used.

    Raises:
        InvalidInputError: As said.
    """
    if noise is None:
        return None
    if not diffusion:
        raise InvalidInputError(
            "noise is given but diffusion is 0, so it would not be used. Give the diffusion of "
            "the path as well."
        )
    if isinstance(noise, Brownian) and noise.times.tolist() != grid:
        raise InvalidInputError(
            f"the Brownian path lives on another grid ({noise.times.shape[0] - 1} steps) than "
            f"times ({len(grid) - 1} steps). Use noise.coarsen(times) or noise.refine(times)."
        )
    increments = noise.increments if isinstance(noise, Brownian) else noise
    if increments.shape != (len(grid) - 1, *z0.shape):
        raise InvalidInputError(
            f"noise has shape {tuple(increments.shape)}, expected {(len(grid) - 1, *z0.shape)}: "
            f"one Brownian increment per step and row, of variance h."
        )
    return increments


def check_solver(solver: Any) -> None:
    """Refuse what is no solver: names belong to the edge of the package, not to its loop.

    Raises:
        InvalidTypeError: A name, a class, or anything else.
    """
    if isinstance(solver, AbstractSolver):
        return
    given = solver if isinstance(solver, (str, tuple)) else "heun"
    raise InvalidTypeError(
        f"integrate takes an instance of a solver, such as Heun(); got {solver!r}. Write "
        f"solvers.REGISTRY.resolve({given!r}) for a solver by name."
    )


def check_start(z0: Any) -> None:
    """Refuse rows in which neither times nor increments have a place.

    Raises:
        InvalidTypeError: Not a floating tensor.
    """
    if isinstance(z0, Tensor) and z0.is_floating_point():
        return
    got = z0.dtype if isinstance(z0, Tensor) else type(z0).__name__
    cast = "z0.float()" if isinstance(z0, Tensor) else "torch.as_tensor(z0, dtype=torch.float64)"
    raise InvalidTypeError(
        f"z0 is a tensor of floating point numbers, shape (batch, *event); got {got}. Write {cast}."
    )


def _name(solver: AbstractSolver) -> str:
    from precond_gm.solvers import REGISTRY

    try:
        return REGISTRY.name_of(solver)
    except UnknownNameError:
        return type(solver).__name__
