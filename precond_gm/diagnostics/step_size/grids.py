"""Grids of a study: by name, with what they need to know of the dynamics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from precond_gm.closed_form.gaussian_base import AbstractGaussianBridge
from precond_gm.diagnostics.step_size.subject import Subject
from precond_gm.solvers import grids
from precond_gm.solvers.roughness import estimate_roughness

__all__ = ["make_grids", "title_of"]

_PROBE_ROWS = 256
_ADAPTED = "path-kl-optimal"


def make_grids(
    subject: Subject, grid: Any, counts: Sequence[int], *, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Return the times of a grid for each number of steps, float64.

    Args:
        subject: Gives the last time, and the roughness that an adapted grid needs: exact where
            the bridge knows it, else estimated from the dynamics, without training.
        grid: A name, ``(name, options)``, or a callable ``(steps, t_max)``.
        counts: Numbers of steps.
        generator: Source of the probes.
    """
    name, options = grid if isinstance(grid, tuple) else (grid, {})
    if name == _ADAPTED and "roughness" not in options:
        options = {**options, "roughness": _roughness(subject, generator)}
    return tuple(grids.make(name, n, t_max=subject.t_max, **options).cpu() for n in counts)


def title_of(grid: Any) -> str:
    """Return the name of a grid for tables."""
    if isinstance(grid, tuple):
        options = ", ".join(f"{k}={v}" for k, v in grid[1].items())
        return f"{title_of(grid[0])} ({options})" if options else title_of(grid[0])
    return grid if isinstance(grid, str) else getattr(grid, "__name__", "given")


def _roughness(subject: Subject, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    if subject.is_exact and isinstance(subject.bridge, AbstractGaussianBridge):
        return subject.bridge.roughness
    z0, label = subject.draw(_PROBE_ROWS, generator)
    return estimate_roughness(
        subject.model,
        z0,
        t_max=subject.t_max,
        label=label,
        diffusion=subject.sigma,
        generator=generator,
    )
