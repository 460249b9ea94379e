"""The one loop: every sampler, study and oracle of the package runs through it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError, NonFiniteError
from precond_gm.numerics.brownian import Brownian
from precond_gm.numerics.grid import check_times
from precond_gm.numerics.noise import standard_normal
from precond_gm.solvers.base import AbstractSolver, euler_step
from precond_gm.solvers.checks import check_diffusion, check_noise, check_solver, check_start
from precond_gm.values import Dynamics

__all__ = ["Solution", "integrate"]


_CHECKSUMS = 16  # per run: they name the time of a fault, at a cost that no run notices


@dataclass(frozen=True)
class Solution:
    """What the loop gives back.

    Attributes:
        final: Rows at the last time, shape ``batch *event``.
        states: Rows at every time of the grid, shape ``times batch *event``, or None.
        num_evals: Evaluations of the dynamics per row, counted.
    """

    final: Tensor
    states: Tensor | None
    num_evals: int


def integrate(
    dynamics: Dynamics,
    solver: AbstractSolver,
    times: Tensor,
    z0: Tensor,
    *,
    label: Tensor | None = None,
    diffusion: float = 0.0,
    noise: Tensor | Brownian | None = None,
    generator: torch.Generator | None = None,
    trajectory: bool = False,
    last_step: Literal["euler"] | None = None,
    progress: bool = False,
    check_finite: bool = True,
) -> Solution:
    r"""Integrate ``dz = b dt + sigma dB`` over a grid of times.

    The loop never waits for the device: checksums of some states stay there and are read once,
    at the end.

    Args:
        dynamics: Callable ``(t, z, label)``, called with ``t`` of shape batch.
        solver: Scheme of one step.
        times: Grid, n + 1 increasing times in [0, 1].
        z0: Rows at ``times[0]``, shape ``batch *event``.
        label: Label of each row, or None.
        diffusion: Scale sigma, from the path (so that two sigmas cannot disagree); 0 is an ODE.
        noise: Brownian increments ``B(t_{k+1}) - B(t_k)``, shape ``n batch *event``, or a
            ``Brownian`` on this grid, or None to draw them step by step.
        generator: Source of the noise that is drawn.
        trajectory: Whether to keep the states at all times.
        last_step: ``"euler"`` does the last step by Euler (with noise: Euler-Maruyama), for
            dynamics that are singular at its end.
        progress: Whether to show a progress bar on stderr.
        check_finite: Whether to raise on NaN or infinity. False inside a captured CUDA graph.

    Returns:
        The final rows, the trajectory if asked for, and the number of evaluations.

    Raises:
        InvalidTypeError: A solver that is no instance, or rows that are not floating.
        IncompatiblePartsError: An ODE solver where the diffusion is positive.
        InvalidInputError: A grid that is not increasing in [0, 1]; noise of another shape; dynamics
            of another shape than the rows.
        NonFiniteError: NaN or infinity; names the time and the share of rows.

    Example:
        >>> import torch
        >>> from precond_gm.solvers import EulerMaruyama, integrate
        >>> from precond_gm.solvers.grids import uniform
        >>> source = torch.Generator().manual_seed(0)
        >>> z0 = torch.zeros(4, 2)
        >>> run = integrate(lambda t, z, label=None: -z, EulerMaruyama(), uniform(10), z0,
        ...                 diffusion=1.0, generator=source, trajectory=True)
        >>> run.num_evals, run.states.shape
        (10, torch.Size([11, 4, 2]))
    """
    check_solver(solver)
    check_start(z0)
    grid = check_times(times)
    check_diffusion(solver, diffusion)
    increments = check_noise(noise, grid, z0, diffusion)
    calls = 0

    def counted(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        nonlocal calls
        calls += 1
        value = dynamics(t, z, label)
        if value.shape != z.shape:
            raise InvalidInputError(
                f"the dynamics gave shape {tuple(value.shape)} for rows of shape {tuple(z.shape)}. "
                f"It has to return one value per coordinate."
            )
        return value

    z, states, sums = z0, [z0], {0: z0.detach().sum()}
    last = len(grid) - 2
    every = -(-(last + 1) // _CHECKSUMS)
    for k in _steps(last + 1, progress):
        t, t_next = grid[k], grid[k + 1]
        increment = None
        if diffusion:
            increment = (
                standard_normal(z, generator, scale=(t_next - t) ** 0.5)
                if increments is None
                else increments[k]
            )
        step = euler_step if last_step == "euler" and k == last else solver.step
        z = step(counted, t, t_next, z, label, diffusion=diffusion, increment=increment)
        if trajectory:
            states.append(z)
        if check_finite and (k == last or (k + 1) % every == 0):
            sums[k + 1] = z.detach().sum()
    if check_finite:
        _require_finite(z, sums, grid)
    return Solution(z, torch.stack(states) if trajectory else None, calls)


def _steps(count: int, progress: bool) -> Iterable[int]:
    if not progress:
        return range(count)
    from tqdm import tqdm

    bar: Any = tqdm(range(count), desc="sampling", unit="step")
    return bar


def _require_finite(z: Tensor, sums: dict[int, Tensor], grid: list[float]) -> None:
    """Raise when a row is not finite; NaN and infinity never heal, so the last state knows all."""
    finite = torch.isfinite(torch.stack(list(sums.values()))).tolist()
    if all(finite):
        return
    rows = int((~torch.isfinite(z)).flatten(1).any(1).sum())
    if rows == 0:  # only the checksum overflowed
        return
    first, steps = finite.index(False), list(sums)
    share = f"{rows} of {z.shape[0]} rows ({rows / z.shape[0]:.0%}) are not finite at the end"
    if first == 0:
        raise NonFiniteError(f"z0 holds NaN or infinity: {share}. Check the source of the noise.")
    raise NonFiniteError(
        f"the dynamics became NaN or infinite between t = {grid[steps[first - 1]]:.6g} and "
        f"{grid[steps[first]]:.6g} (steps {steps[first - 1] + 1} to {steps[first]} of "
        f"{len(grid) - 1}): {share}. If the dynamics is "
        f'singular at 1, use last_step="euler" or a grid that stops at t_max < 1; otherwise look '
        f"at the network's output there."
    )
