r"""Stop at ``1 - delta``: a smaller error of the steps, against the data that were not reached.

For targets without a density the drift is singular at t = 1, and so is the path divergence.
Stopping early bounds it, at the price of the distance between the law at ``1 - delta`` and the
target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from precond_gm.closed_form.gaussian_base import AbstractGaussianBridge
from precond_gm.diagnostics.ends import local_generator
from precond_gm.diagnostics.step_size.distances import gaussian_errors
from precond_gm.diagnostics.step_size.grids import title_of
from precond_gm.diagnostics.step_size.measure import measure
from precond_gm.diagnostics.step_size.subject import resolve
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.gaussian import Gaussian
from precond_gm.solvers import grids
from precond_gm.values import AbstractReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EarlyStoppingReport", "early_stopping"]


@dataclass(frozen=True)
class EarlyStoppingReport(AbstractReport):
    """Errors against delta at one number of steps; tensors have shape ``delta``.

    Attributes:
        name: What was studied.
        grid: Name of the grid.
        steps: Number of steps to each end.
        delta: Distances to t = 1, increasing.
        w2: W2 between what is generated and the *target*.
        path_kl: Path divergence up to ``1 - delta``; None for an ODE.
        step_part: W2 to the exact law at ``1 - delta``, where it is known, else None.
        stop_part: W2 between that law and the target, exact where it is known, else None.
        standard_errors: Of ``w2``, ``path_kl`` and ``step_part``.
        floor: Noise floor of ``w2`` against held-out data, else None.
    """

    name: str
    grid: str
    steps: int
    delta: Tensor
    w2: Tensor
    path_kl: Tensor | None
    step_part: Tensor | None
    stop_part: Tensor | None
    standard_errors: dict[str, Tensor]
    floor: float | None

    @property
    def best(self) -> float:
        """The delta with the least W2 to the target."""
        return float(self.delta[self.w2.argmin()])

    def as_metrics(self) -> dict[str, float]:
        """Return the best delta with its error, and the errors at both ends of the range."""
        found = {
            "best_delta": self.best,
            "best_w2": float(self.w2.min()),
            "w2_at_least_delta": float(self.w2[0]),
            "w2_at_largest_delta": float(self.w2[-1]),
        }
        return {f"early_stopping/{k}": v for k, v in found.items() if math.isfinite(v)}

    def plot(self) -> Figure:
        """Draw the error and its parts, and the path divergence, against delta."""
        from precond_gm.plotting.early_stopping import plot_early_stopping

        return plot_early_stopping(
            title=f"{self.name}: {self.steps} steps of the grid {self.grid}, stopped at 1 - delta",
            delta=self.delta,
            w2=self.w2,
            w2_error=2 * self.standard_errors["w2"],
            parts={"of the steps": self.step_part, "of stopping": self.stop_part},
            path_kl=self.path_kl,
            floor=self.floor,
        )


def early_stopping(
    dynamics_or_flow: Any,
    *,
    deltas: Sequence[float] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    steps: int = 64,
    num_samples: int = 4096,
    path: Any = None,
    source: Any = None,
    label: int | Tensor | None = None,
    reference: Any = None,
    grid: Any = "uniform",
    name: str | None = None,
    generator: torch.Generator | None = None,
) -> EarlyStoppingReport:
    """Measure what stopping early gains and costs at one number of steps, on shared noise.

    Args:
        dynamics_or_flow: A flow, an exact bridge, or a callable ``(t, z, label)``.
        deltas: Distances to t = 1, in (0, 1).
        steps: Number of steps to each end.
        num_samples: Rows of each run.
        path: Path of a callable.
        source: Rows z0 or a callable ``(n, generator)``.
        label: One label, labels to draw from, or None for the fitted frequencies.
        reference: Held-out rows in x, or an exact Gaussian bridge: what the target is.
        grid: Grid by name or ``(name, options)``; it ends at ``1 - delta``.
        name: What to call it.
        generator: Source of everything random; None is a fixed seed.

    Raises:
        InvalidInputError: A delta outside (0, 1), or no target to compare with.

    References:
        2409.08311, theorem 3; 2606.16610, theorem 2.

    Example:
        >>> from precond_gm.closed_form import PointMassBridge
        >>> point = PointMassBridge(0.0)
        >>> found = early_stopping(point, deltas=(0.01, 0.3), steps=8, num_samples=64)
        >>> found.best < 0.1  # the closer, the better, until rounding
        True
    """
    subject = resolve(
        dynamics_or_flow, path=path, source=source, label=label, reference=reference, name=name
    )
    if not (isinstance(subject.bridge, AbstractGaussianBridge) or subject.held_out):
        raise InvalidInputError(
            "early stopping needs a target to compare with: give reference= held-out rows or an "
            "exact Gaussian bridge."
        )
    ordered = sorted(float(d) for d in deltas)
    if not ordered or not 0 < ordered[0] <= ordered[-1] < 1:
        raise InvalidInputError(f"deltas are numbers in (0, 1); got {tuple(deltas)}.")
    generator = local_generator(generator)
    kind, options = grid if isinstance(grid, tuple) else (grid, {})
    family = tuple(grids.make(kind, steps, t_max=1 - d, **options).cpu() for d in ordered)
    found = measure(subject, family, num_samples=num_samples, generator=generator)
    errors = {k: v for k, v in found.errors.items() if k in {"path_kl", "w2"}}
    stop = None
    if isinstance(subject.bridge, AbstractGaussianBridge):
        target, laws = _laws(subject.bridge, family)
        errors["step_part"] = errors["w2"]
        runs = [run[: found.num_reference] for run in found.final]
        errors["w2"] = gaussian_errors(runs, found.truth, laws, target)["w2"]
        stop = torch.stack([law.w2(target) for law in laws]).cpu()
    return EarlyStoppingReport(
        name=subject.name,
        grid=title_of(grid),
        steps=steps,
        delta=torch.tensor(ordered, dtype=torch.float64),
        w2=errors["w2"].value,
        path_kl=errors["path_kl"].value if "path_kl" in errors else None,
        step_part=errors["step_part"].value if "step_part" in errors else None,
        stop_part=stop,
        standard_errors={k: v.standard_error for k, v in errors.items()},
        floor=found.floors.get("w2"),
    )


def _laws(
    bridge: AbstractGaussianBridge, family: Sequence[Tensor]
) -> tuple[Gaussian, list[Gaussian]]:
    """Return the target's law, and the law at the end of each grid."""
    return bridge.marginal(1.0), [bridge.marginal(float(times[-1])) for times in family]
