"""From noise to data: choose the solver and the grid, integrate in z, and undo the map."""

from __future__ import annotations

import functools
from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from precond_gm import solvers
from precond_gm.errors import InvalidInputError, InvalidTypeError
from precond_gm.flow.dynamics import forward_process
from precond_gm.flow.entry import network_call
from precond_gm.flow.route import Route, route
from precond_gm.numerics.rows import check_label
from precond_gm.paths.base import AbstractPath
from precond_gm.solvers import grids
from precond_gm.values import Samples, TargetKind

if TYPE_CHECKING:
    from precond_gm.flow.dynamics import Process
    from precond_gm.flow.preconditioned import PreconditionedFlow

__all__ = ["draw_labels", "sample"]

PROBE_ROWS = 256  # rows along which a grid that adapts to the dynamics is estimated
DEFAULT_SOLVER = {TargetKind.VELOCITY: "heun", TargetKind.DRIFT: "euler-maruyama"}


@torch.no_grad()
def sample(
    flow: PreconditionedFlow,
    n_or_label: int | Tensor,
    label: int | Tensor | None,
    *,
    steps: int,
    solver: Any,
    grid: Any,
    t_max: float | None,
    path: Any,
    field: Callable[..., Tensor] | None,
    noise_level: float | None,
    generator: torch.Generator | None,
    trajectory: bool,
    progress: bool,
) -> Samples:
    """Do what ``PreconditionedFlow.sample`` says."""
    n_or_label = _whole(n_or_label, "n_or_label")
    way = route(flow, field, path)
    process = forward_process(way.field, way.path, way.objective, noise_level)
    method = _solver(way.path, process, solver)
    like = _like(flow)
    labels = draw_labels(flow, n_or_label, label, like.device, generator)
    z0 = _noise(flow, n_or_label, like, generator)
    times = grids.make(
        grid,
        steps,
        way.t_max if t_max is None else t_max,
        offered={
            "dynamics": process.dynamics,
            "diffusion": process.diffusion,
            "z0": z0[:PROBE_ROWS],
            "label": None if labels is None else labels[:PROBE_ROWS],
            "generator": generator,
        },
    )
    _check_end(flow, way, times)
    # A converted prediction is singular at t = 1, so the last step must not look there.
    converted = noise_level is not None or way.objective.prediction is not way.path.kind
    solution = solvers.integrate(
        process.dynamics,
        method,
        times,
        z0,
        label=labels,
        diffusion=process.diffusion,
        generator=generator,
        trajectory=trajectory,
        last_step="euler" if converted else None,
        progress=progress,
    )
    x = flow.preconditioner.inverse(flow.objective.finish(solution.final), labels).value
    return Samples(x, labels, solution.states, solution.num_evals)


@torch.no_grad()
def encode(
    flow: PreconditionedFlow,
    x: Tensor,
    label: Tensor | None,
    *,
    steps: int,
    solver: Any,
    grid: Any,
    field: Callable[..., Tensor] | None,
    generator: torch.Generator | None,
) -> Tensor:
    """Do what ``PreconditionedFlow.encode`` says."""
    network = flow.field if field is None else field
    process = flow.backward_process(functools.partial(network_call, flow, network))
    method = _solver(flow.path, process, solver)
    z1 = flow.precondition(x, label)
    solution = solvers.integrate(
        process.dynamics,
        method,
        grids.make(grid, steps),
        z1,
        label=label,
        diffusion=process.diffusion,
        generator=generator,
        last_step="euler",  # the backward drift is singular where the reversed time is 1
    )
    return solution.final


def _check_end(flow: PreconditionedFlow, way: Route, times: Tensor) -> None:
    """Refuse times later than any that was trained: a cut is sound only if sampling stops there."""
    if float(times[-1]) > way.t_max + 1e-6:
        raise InvalidInputError(
            f"sampling ends at t = {float(times[-1]):g}, but {flow.objective.prediction.value} was "
            f"trained up to t = {way.t_max:g} only, where its target would grow without bound. "
            f"Leave t_max out, or predict {flow.path.default_prediction.value}, which reaches 1."
        )


def _solver(path: AbstractPath, process: Process, solver: Any) -> solvers.AbstractSolver:
    method = solvers.REGISTRY.resolve(DEFAULT_SOLVER[process.kind] if solver is None else solver)
    solvers.check_accepts(method, process.kind, path)
    return method


def _like(flow: PreconditionedFlow) -> Tensor:
    """Return a tensor of the network's device and precision."""
    return next(iter(flow.field.parameters()), torch.empty(0))


def _noise(
    flow: PreconditionedFlow,
    n_or_label: int | Tensor,
    like: Tensor,
    generator: torch.Generator | None,
) -> Tensor:
    if flow.event_shape is None:
        raise InvalidInputError(
            "the shape of a row is not known yet. Fit the preconditioner first, or give "
            "event_shape to wrap."
        )
    n = n_or_label if isinstance(n_or_label, int) else n_or_label.shape[0]
    if n < 1:
        raise InvalidInputError(f"sample takes one row or more; got {n}.")
    device = generator.device if generator is not None else like.device
    dtype = like.dtype if like.is_floating_point() else torch.float32
    z0 = torch.randn((n, *flow.event_shape), generator=generator, device=device, dtype=dtype)
    return z0.to(like.device)


def draw_labels(
    flow: PreconditionedFlow,
    n_or_label: int | Tensor,
    label: int | Tensor | None,
    device: torch.device,
    generator: torch.Generator | None,
) -> Tensor | None:
    """Return one label per row: as given, or drawn with the fitted class frequencies.

    Args:
        flow: The flow; one without labels gives None.
        n_or_label: Number of rows, or one label per row.
        label: One label for all rows, one per row, or None.
        device: Where the labels go.
        generator: Source of the draw.

    Raises:
        InvalidTypeError: Neither numbers nor labels.
        InvalidInputError: A label that the flow does not know, or frequencies that are not known.
    """
    n_or_label = _whole(n_or_label, "n_or_label")
    label = None if label is None else _whole(label, "label")
    if isinstance(n_or_label, Tensor):
        label = n_or_label
    n = n_or_label if isinstance(n_or_label, int) else n_or_label.shape[0]
    if isinstance(label, int):
        label = torch.full((n,), label, dtype=torch.long)
    if label is not None:
        return _allowed(flow, label, n).to(device)
    if flow.num_labels is None:
        return None
    if flow.label_frequency is None:
        raise InvalidInputError(
            "no label was given and the class frequencies are not known. Give the label, or fit "
            "the preconditioner on labelled data first."
        )
    on = generator.device if generator is not None else device
    frequency = flow.label_frequency.to(on)
    drawn = torch.multinomial(frequency, n, replacement=True, generator=generator)
    return drawn.to(device)


def _whole(value: Any, name: str) -> int | Tensor:
    """Return one number as an integer, and labels in any container as a tensor."""
    if isinstance(value, (list, tuple, range, np.ndarray)):
        try:
            value = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise _no_number(value, name) from error
    if isinstance(value, Tensor):
        if value.ndim:
            return value
        value = value.item()
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise _no_number(value, name)
    return int(value)


def _no_number(value: Any, name: str) -> InvalidTypeError:
    one = "a number of rows" if name == "n_or_label" else "one label for all rows"
    return InvalidTypeError(
        f"{name} is {one} (an integer), or a tensor, array or list of integer labels, one per "
        f"row; got {value!r}. Write int(...) for one number."
    )


def _allowed(flow: PreconditionedFlow, label: Tensor, n: int) -> Tensor:
    if flow.num_labels is None:
        raise InvalidInputError(
            "a label was given to a flow without labels. Wrap it with num_labels=..., or leave "
            "the label out."
        )
    checked = check_label(label, n, num_labels=flow.num_labels)
    assert checked is not None  # for the type checker: a label came in
    seen = flow.label_frequency
    if seen is not None:
        unseen = seen.to(label.device)[label] == 0
        if bool(unseen.any()):
            row = int(torch.nonzero(unseen)[0])
            raise InvalidInputError(
                f"label {int(label[row])} (row {row}) was never seen in fitting, so nothing is "
                f"known of it. Labels that were: {torch.nonzero(seen).flatten().tolist()}."
            )
    return checked
