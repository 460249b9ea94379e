"""What a study is about: a flow, an exact bridge or any callable, reduced to one record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from precond_gm import paths
from precond_gm.closed_form import (
    AbstractBridge,
    BinaryBridge,
    EmpiricalBridge,
    PointMassBridge,
)
from precond_gm.errors import InvalidInputError, InvalidTypeError
from precond_gm.flow import PreconditionedFlow
from precond_gm.flow.sampling import draw_labels
from precond_gm.numerics.noise import standard_normal
from precond_gm.numerics.rows import check_label, check_rows
from precond_gm.values import Batch, Dynamics

__all__ = ["LEAST_ROWS", "Draw", "Subject", "resolve"]

Draw: TypeAlias = "Callable[[int, torch.Generator], tuple[Tensor, Tensor | None]]"
_WITHOUT_DENSITY = (PointMassBridge, EmpiricalBridge, BinaryBridge)  # drift singular at t = 1
LEAST_ROWS = 64  # two rows in each group of the jackknife


@dataclass(frozen=True)
class Subject:
    """Dynamics under study, and all that is known beside it.

    Attributes:
        name: For tables and figures.
        model: Dynamics under study.
        process: Drift of the exact process; ``model`` itself where no other is known.
        sigma: Scale of the noise, 0 for an ODE.
        t_max: Last time.
        draw: Gives ``n`` rows of the source, and their labels.
        bridge: The exact law, or None.
        held_out: Rows of data that the law is compared with, in x, or None.
        flow: The flow, where it is one.
    """

    name: str
    model: Dynamics
    process: Dynamics
    sigma: float
    t_max: float
    draw: Draw
    bridge: AbstractBridge | None = None
    held_out: Batch | None = None
    flow: PreconditionedFlow | None = None

    @property
    def is_own_process(self) -> bool:
        """Whether a flow runs the SDE of its own path, whose drift it was trained on."""
        return self.flow is not None and self.sigma == self.flow.path.diffusion > 0

    @property
    def is_exact(self) -> bool:
        """Whether the dynamics under study is the exact drift itself."""
        return self.bridge is not None and self.model is self.process

    def to_data(self, z: Tensor, label: Tensor | None) -> Tensor:
        """Return rows in the coordinates of the held-out data."""
        if self.flow is None or self.held_out is None:
            return z
        with torch.no_grad():
            return self.flow.preconditioner.inverse(z, label).value


def resolve(
    dynamics_or_flow: Any,
    *,
    path: Any = None,
    source: Any = None,
    label: int | Tensor | None = None,
    reference: Any = None,
    t_max: float | None = None,
    noise_level: float | None = None,
    name: str | None = None,
) -> Subject:
    """Reduce what the user gave to one record.

    Raises:
        InvalidTypeError: Not a flow, a bridge or a callable; a reference of another kind.
        InvalidInputError: A callable without a source; rows that are not finite; too few rows.
    """
    bridge, held_out = _reference(reference)
    if isinstance(dynamics_or_flow, PreconditionedFlow):
        return _of_flow(dynamics_or_flow, bridge, held_out, label, source, t_max, noise_level, name)
    if noise_level is not None:
        raise InvalidInputError(
            "noise_level is for flows, whose score is known; the noise of a callable is its "
            "path's, such as path=('brownian-bridge', {'sigma': 1.0})."
        )
    if not callable(dynamics_or_flow):
        raise InvalidTypeError(
            f"a study takes a flow, a bridge of precond_gm.closed_form, or a callable "
            f"(t, z, label); got {type(dynamics_or_flow).__name__}."
        )
    model, way = dynamics_or_flow, None if path is None else paths.REGISTRY.resolve(path)
    if isinstance(model, AbstractBridge):
        bridge = model
    if bridge is not None:
        sigma, process = bridge.sigma, model if bridge is model else bridge
        end = paths.BrownianBridge.t_max if isinstance(bridge, _WITHOUT_DENSITY) else 1.0
    else:
        way = way or paths.BrownianBridge()
        sigma, end, process = way.diffusion, way.t_max, model
    return Subject(
        name=name or type(model).__name__,
        model=model,
        process=process,
        sigma=sigma,
        t_max=end if t_max is None else t_max,
        draw=_source(source, bridge, held_out, label),
        bridge=bridge,
        held_out=held_out,
    )


def _of_flow(
    flow: PreconditionedFlow,
    bridge: AbstractBridge | None,
    held_out: Batch | None,
    label: int | Tensor | None,
    source: Any,
    t_max: float | None,
    noise_level: float | None,
    name: str | None,
) -> Subject:
    if flow.event_shape is None:
        raise InvalidInputError(
            "the flow has seen no data yet: fit its preconditioner (and train it) first."
        )
    shape = flow.event_shape
    weights = next(flow.field.parameters(), torch.empty(0))
    given = None if source is None else _source(source, None, None, None)

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        z0 = (
            standard_normal(weights.new_empty((n, *shape)), generator)
            if given is None
            else given(n, generator)[0].to(weights)
        )
        asked = label
        if isinstance(label, Tensor):
            asked = _rows_of(label, n, generator)
        return z0, draw_labels(flow, n, asked, weights.device, generator)

    process = flow.process(noise_level=noise_level)
    model = process.dynamics
    return Subject(
        name=name or type(flow.field.model).__name__,
        model=model,
        process=model if bridge is None else bridge,
        sigma=process.diffusion,
        t_max=flow.t_max if t_max is None else t_max,
        draw=draw,
        bridge=bridge,
        held_out=held_out,
        flow=flow,
    )


def _source(
    source: Any,
    bridge: AbstractBridge | None,
    held_out: Batch | None,
    label: int | Tensor | None,
) -> Draw:
    """Return how z0 is drawn: as given, by the bridge, or N(0, I) of the shape of the data."""

    def with_label(z0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        if label is None:
            return z0, None
        if isinstance(label, int):
            return z0, torch.full((z0.shape[0],), label, dtype=torch.long, device=z0.device)
        return z0, _rows_of(label, z0.shape[0], generator).to(z0.device)

    if isinstance(source, Tensor):
        check_rows(source, name="source")
        return lambda n, generator: with_label(_rows_of(source, n, generator), generator)
    if callable(source):
        return lambda n, generator: with_label(source(n, generator), generator)
    if source is not None:
        raise InvalidTypeError(
            f"source is a tensor of rows or a callable (n, generator) -> rows; got "
            f"{type(source).__name__}."
        )
    if bridge is not None:
        return lambda n, generator: with_label(
            bridge.sample_pairs(n, generator=generator).z0, generator
        )
    if held_out is None:
        raise InvalidInputError(
            "the source of a plain callable is not known. Give source=: rows z0 (torch.randn(n, "
            "dim) for a standard normal), or a callable (n, generator) -> rows."
        )
    like = held_out.x
    return lambda n, generator: with_label(
        standard_normal(like.new_empty((n, *like.shape[1:])), generator), generator
    )


def _reference(reference: Any) -> tuple[AbstractBridge | None, Batch | None]:
    """Tell an exact law from held-out rows."""
    if reference is None:
        return None, None
    if isinstance(reference, AbstractBridge):
        return reference, None
    if isinstance(reference, Tensor):
        reference = Batch(reference)
    elif isinstance(reference, tuple) and len(reference) == 2:
        reference = Batch(*reference)
    if not isinstance(reference, Batch):
        raise InvalidTypeError(
            f"reference is held-out rows, (rows, labels), or an exact bridge; got "
            f"{type(reference).__name__}."
        )
    check_rows(reference.x, name="reference")
    check_label(reference.label, reference.x.shape[0])
    if reference.x.shape[0] < 2 * LEAST_ROWS:
        raise InvalidInputError(
            f"reference has {reference.x.shape[0]} rows; distances and their noise floor take at "
            f"least {2 * LEAST_ROWS}. Give more rows, or none."
        )
    return None, reference


def _rows_of(rows: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draw ``n`` of the given rows, with replacement: independent draws of their law."""
    index = torch.randint(rows.shape[0], (n,), generator=generator, device=generator.device)
    return rows[index.to(rows.device)]
