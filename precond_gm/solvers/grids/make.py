"""From a name, a function or a tensor to a checked grid."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError, InvalidTypeError, UnknownNameError
from precond_gm.numerics.grid import check_times
from precond_gm.solvers.grids.geometric import geometric
from precond_gm.solvers.grids.path_kl_optimal import path_kl_optimal
from precond_gm.solvers.grids.standard import early_stopping, edm, shifted, uniform

__all__ = ["GRIDS", "GridLike", "make"]

GridLike: TypeAlias = (
    "str | tuple[str, dict[str, Any]] | Callable[..., Any] | Tensor | np.ndarray | Sequence[float]"
)

GRIDS: dict[str, Callable[..., Tensor]] = {
    "uniform": uniform,
    "early-stopping": early_stopping,
    "geometric": geometric,
    "path-kl-optimal": path_kl_optimal,
    "edm": edm,
    "shifted": shifted,
}
_ALWAYS_GIVEN = ("steps", "t_max")


def make(
    grid: GridLike,
    steps: int = 100,
    t_max: float = 1.0,
    *,
    offered: Mapping[str, Any] | None = None,
    **options: Any,
) -> Tensor:
    """Make a grid of ``steps`` steps that ends at ``t_max`` or before.

    Args:
        grid: A name of ``GRIDS``, ``(name, options)``, a callable ``(steps, t_max, **options) ->
            times``, or the user's own increasing times: a tensor, an array or a sequence of
            numbers (then ``steps`` is not used).
        steps: Number of steps n; the grid has n + 1 times.
        t_max: Largest time, in (0, 1].
        offered: What the caller knows of the process (``dynamics``, ``z0``, ...), for named grids
            that ask for it; the others ignore it.
        options: Options of the named grid, such as ``delta=`` of ``"geometric"``.

    Returns:
        Increasing times in [0, t_max], float64.

    Raises:
        UnknownNameError: No grid of that name.
        InvalidTypeError: An option that the grid does not have, or no grid at all.
        InvalidInputError: Times that do not increase, or leave [0, t_max].

    Example:
        >>> make("uniform", 2).tolist()
        [0.0, 0.5, 1.0]
        >>> make([0, 0.9, 1]).shape
        torch.Size([3])
    """
    if isinstance(grid, tuple) and len(grid) == 2 and isinstance(grid[0], str):
        name, preset = grid
        grid, options = name, {**preset, **options}
    if isinstance(grid, (Tensor, np.ndarray, list, tuple)):
        times = _numbers(grid)
    elif callable(grid):
        times = _numbers(grid(steps, t_max, **options))
    else:
        function = _named(str(grid), options)
        asked = inspect.signature(function).parameters
        known = {key: value for key, value in (offered or {}).items() if key in asked}
        times = function(steps, t_max, **known | options)
    end = check_times(times)[-1]
    if end > t_max:
        raise InvalidInputError(
            f"the grid ends at {end:.6g}, after t_max = {t_max:.6g}: the dynamics is not meant "
            f"to be used there. Stop the grid at t_max, or raise t_max."
        )
    return times.to(torch.float64)


def _numbers(times: Any) -> Tensor:
    """Return the user's own times as a tensor; what they are is checked later."""
    try:
        return times if isinstance(times, Tensor) else torch.as_tensor(times, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidTypeError(
            f"a grid is a name, (name, options), increasing numbers, or a callable (steps, t_max) "
            f"that gives them; got {times!r}, and {error}. Names: {', '.join(GRIDS)}."
        ) from error


def _named(name: str, options: dict[str, Any]) -> Callable[..., Tensor]:
    if name not in GRIDS:
        near = difflib.get_close_matches(str(name), GRIDS, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise UnknownNameError(
            f"no grid is called {name!r}. {hint}Names: {', '.join(GRIDS)}; a tensor of times or a "
            f"callable (steps, t_max) is a grid too."
        )
    function = GRIDS[name]
    allowed = [key for key in inspect.signature(function).parameters if key not in _ALWAYS_GIVEN]
    for option in options:
        if option not in allowed:
            raise InvalidTypeError(
                f"the grid {name!r} has no option {option!r}. It takes: "
                f"{', '.join(allowed) or 'no options'}."
            )
    return function
