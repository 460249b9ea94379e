"""Compare time grids at equal numbers of steps, on the same noise: schedules without training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from precond_gm.diagnostics.step_size.compare import StepSizeComparison, compare_step_sizes
from precond_gm.diagnostics.step_size.study import studies
from precond_gm.diagnostics.step_size.subject import resolve

__all__ = ["schedules"]


def schedules(
    dynamics_or_flow: Any,
    *,
    grids: Sequence[Any] = ("uniform", "geometric", "path-kl-optimal"),
    steps: Sequence[int] = (8, 16, 32, 64, 128),
    num_samples: int = 4096,
    path: Any = None,
    source: Any = None,
    label: int | Tensor | None = None,
    reference: Any = None,
    t_max: float | None = None,
    noise_level: float | None = None,
    name: str | None = None,
    num_reference: int | None = None,
    batch_size: int | None = None,
    generator: torch.Generator | None = None,
) -> StepSizeComparison:
    """Study the step size of several grids together.

    ``path-kl-optimal`` is adapted to the dynamics: its roughness is exact for an exact Gaussian
    bridge and else estimated along a few hundred sampled paths. A grid that stops before the end,
    such as ``geometric``, is judged against the law where it stops; the report notes it.

    Args:
        dynamics_or_flow: A flow, an exact bridge, or a callable ``(t, z, label)``.
        grids: Names, ``(name, options)`` or callables ``(steps, t_max)``; the first is what the
            others are compared with.
        steps: Numbers of steps of every grid.
        num_samples: Rows of each run; the same noise for all of them.
        path: Path of a callable.
        source: Rows z0 or a callable ``(n, generator)``.
        label: One label, labels to draw from, or None for the fitted frequencies.
        reference: Held-out rows in x, ``(rows, labels)``, or an exact bridge in z.
        t_max: Last time.
        noise_level: Noise of a flow's process, as in ``flow.sample``; None is the path's own.
        name: What to call it in tables and figures.
        num_reference: Rows of the exact process.
        batch_size: Rows evaluated at once.
        generator: Source of everything random; None is a fixed seed.

    Raises:
        InvalidInputError: As ``step_size``; also fewer than two grids.

    Example:
        >>> from precond_gm.closed_form import GaussianBridge
        >>> found = schedules(GaussianBridge(0.0, 1.0, 0.0, 0.05), steps=(64,),
        ...                   grids=("uniform", "path-kl-optimal"), num_samples=128)
        >>> found.ratio("path-kl-optimal")[64].low > 2
        True
    """
    subject = resolve(
        dynamics_or_flow,
        path=path,
        source=source,
        label=label,
        reference=reference,
        t_max=t_max,
        noise_level=noise_level,
        name=name,
    )
    found = studies(
        subject,
        grids,
        steps,
        num_samples=num_samples,
        num_reference=num_reference,
        batch_size=batch_size,
        generator=generator,
    )
    return compare_step_sizes(found, is_paired=True)
