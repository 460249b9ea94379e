"""Study the step size of one grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from precond_gm.closed_form.gaussian_base import AbstractGaussianBridge
from precond_gm.diagnostics.ends import local_generator
from precond_gm.diagnostics.step_size.grids import make_grids, title_of
from precond_gm.diagnostics.step_size.measure import Measured, measure
from precond_gm.diagnostics.step_size.replicates import fit_slope
from precond_gm.diagnostics.step_size.report import THEORY_SLOPES, StepSizeReport, mean_steps
from precond_gm.diagnostics.step_size.subject import Subject, resolve
from precond_gm.errors import InvalidInputError

__all__ = ["step_size", "studies"]

_LARGE_SHARE = 0.25  # of the last of many steps; an even share is one over the steps
_QUADRATURE = 4097  # times of the trapezoidal rule for int G dt


def step_size(
    dynamics_or_flow: Any,
    *,
    steps: Sequence[int] = (8, 16, 32, 64, 128),
    num_samples: int = 4096,
    path: Any = None,
    source: Any = None,
    label: int | Tensor | None = None,
    reference: Any = None,
    t_max: float | None = None,
    grid: Any = "uniform",
    noise_level: float | None = None,
    name: str | None = None,
    num_reference: int | None = None,
    batch_size: int | None = None,
    generator: torch.Generator | None = None,
) -> StepSizeReport:
    r"""Measure how far Euler-Maruyama is from the truth, for many step sizes on the same noise.

    The path divergence is Girsanov's, along the exact process and not along pairs drawn from one
    bridge: the marginals of both agree, their joint laws at two times do not.

    .. math::
        \frac{1}{2 \sigma^2} \sum_k \int_{t_k}^{t_{k+1}}
        E \| b_t(X_t) - b_\theta(t_k, X_{t_k}) \|^2 dt

    Args:
        dynamics_or_flow: A flow, an exact bridge, or a callable ``(t, z, label)``.
        steps: Numbers of steps; they need not divide each other.
        num_samples: Rows of each run.
        path: Path of a callable: gives the noise and the last time. The DFM bridge by default.
        source: Rows z0 or a callable ``(n, generator)``; None is the source of the flow or bridge,
            or N(0, I) of the shape of ``reference``.
        label: One label for all rows, labels to draw from, or None for the fitted frequencies.
        reference: Held-out rows in x, ``(rows, labels)``, or an exact bridge in z, whose drift is
            then the truth. None: the dynamics' own continuous process is.
        t_max: Last time; None is 1 for x1-prediction and exact bridges, else the path's.
        grid: Grid by name, ``(name, options)``, or a callable ``(steps, t_max) -> times``.
        noise_level: Noise of a flow's process, as in ``flow.sample``; None is the path's own.
        name: What to call it in tables and figures.
        num_reference: Rows of the exact process; None is all of them for an exact bridge, else as
            many as cost a tenth of the finest run's evaluations.
        batch_size: Rows evaluated at once.
        generator: Source of everything random; None is a fixed seed.

    Returns:
        Errors against h, with standard errors, slopes and intervals.

    Raises:
        InvalidInputError: A number of steps below 1, too few rows, no source.
        InvalidTypeError: Neither a flow nor a bridge nor a callable.
        NonFiniteError: The dynamics give NaN or infinity; names the time and the share of rows.

    References:
        2409.08311, theorem 2; 2606.16610, theorems 1 to 4.

    Example:
        >>> from precond_gm.closed_form import GaussianBridge
        >>> unit = GaussianBridge(0.0, 1.0, 0.0, 1.0)
        >>> report = step_size(unit, steps=(8, 16), num_samples=128)
        >>> gap = (report.path_kl - report.exact["path_kl"]) / report.standard_errors["path_kl"]
        >>> bool((gap.abs() < 4).all())
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
    (report,) = studies(
        subject,
        (grid,),
        steps,
        num_samples=num_samples,
        num_reference=num_reference,
        batch_size=batch_size,
        generator=generator,
    ).values()
    return report


def studies(
    subject: Subject,
    grids: Sequence[Any],
    steps: Sequence[int],
    *,
    num_samples: int,
    num_reference: int | None = None,
    batch_size: int | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, StepSizeReport]:
    """Run every number of steps of every grid on the same noise; one report per grid, by name."""
    counts, generator = check_steps(steps), local_generator(generator)
    families = {
        title_of(grid): make_grids(subject, grid, counts, generator=generator) for grid in grids
    }
    found = measure(
        subject,
        [times for family in families.values() for times in family],
        num_samples=num_samples,
        num_reference=num_reference,
        batch_size=batch_size,
        generator=generator,
    )
    starts = range(0, len(counts) * len(families), len(counts))
    return {
        title: report_of(subject, title, family, found.part(start, len(counts)), num_samples)
        for start, (title, family) in zip(starts, families.items(), strict=True)
    }


def check_steps(steps: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of steps, increasing.

    Raises:
        InvalidInputError: None at all, not positive integers, or one of them twice.
    """
    counts = tuple(steps)
    wrong = [n for n in counts if isinstance(n, bool) or not isinstance(n, int) or n < 1]
    if not counts or wrong or len(set(counts)) < len(counts):
        raise InvalidInputError(
            f"steps are different positive integers, such as (8, 16, 32, 64, 128); got {counts}."
        )
    return tuple(sorted(counts))


def report_of(
    subject: Subject, grid: str, grids: tuple[Tensor, ...], found: Measured, num_samples: int
) -> StepSizeReport:
    """Put measured errors of one family of grids into a report."""
    h, errors = mean_steps(grids), found.errors
    values = {name: error.value for name, error in errors.items()}
    return StepSizeReport(
        name=subject.name,
        grid=grid,
        steps=tuple(g.shape[0] - 1 for g in grids),
        h=h,
        times=grids,
        path_kl=values.get("path_kl"),
        strong_error=values["strong_error"],
        w2=values["w2"],
        marginal_kl=values.get("marginal_kl"),
        discretisation=values.get("discretisation"),
        drift=values.get("drift"),
        cross=values.get("cross"),
        energy=values.get("energy"),
        standard_errors={name: error.standard_error for name, error in errors.items()},
        slopes={
            name: fit_slope(h, errors[name])
            for name in THEORY_SLOPES
            if name in errors and name not in found.floors
        },
        exact=_exact(subject, grids),
        roughness=_roughness(subject, grids),
        floors=found.floors,
        meaning=found.meaning,
        num_samples=num_samples,
        num_reference=found.num_reference,
        evaluations=found.evaluations,
        notes=_notes(subject, grids, found),
        replicates=errors,
    )


def _exact(subject: Subject, grids: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Return the exact values, where the dynamics under study is an exact Gaussian bridge."""
    bridge = subject.bridge
    if not (subject.is_exact and isinstance(bridge, AbstractGaussianBridge)):
        return {}
    found = {"w2": bridge.w2, "marginal_kl": bridge.marginal_kl}
    if subject.sigma:
        found["path_kl"] = bridge.path_kl
    return {
        name: torch.stack([exact(times) for times in grids]).cpu() for name, exact in found.items()
    }


def _roughness(subject: Subject, grids: tuple[Tensor, ...]) -> float | None:
    """Return ``int G dt`` for equal steps of an exact Gaussian bridge."""
    if not (
        isinstance(subject.bridge, AbstractGaussianBridge) and subject.is_exact and subject.sigma
    ):
        return None
    equal = all(float(g.diff().max() - g.diff().min()) < 1e-9 for g in grids)
    if not equal:
        return None
    t = torch.linspace(0, float(grids[0][-1]), _QUADRATURE, dtype=torch.float64)
    return float(torch.trapezoid(subject.bridge.roughness(t).cpu(), t))


def _notes(subject: Subject, grids: tuple[Tensor, ...], found: Measured) -> tuple[str, ...]:
    notes = []
    finest = max(range(len(grids)), key=lambda s: grids[s].shape[0])
    steps, share = grids[finest].shape[0] - 1, float(found.last_share[finest])
    if subject.sigma and steps > 2 and share > _LARGE_SHARE:
        notes.append(
            f"{share:.0%} of the path divergence of the run of {steps} steps is in its last step: "
            f"the drift is not settled near t = {float(grids[finest][-1]):.6g} (an error of the "
            f"predicted x1 is divided by 1 - t), so the divergence hardly falls with h there and "
            f"is infinite at t = 1. Stop earlier (t_max), or judge by w2."
        )
    if len(grids) == 1:
        notes.append("one step size gives errors but no slopes: run three or more.")
    if not subject.sigma:
        notes.append("the path has no noise, so there is no path divergence; errors are Euler's.")
    if subject.bridge is None and subject.held_out is None:
        notes.append(
            "neither an exact law nor held-out data were given: errors are those of the step size "
            "alone, against the dynamics' own continuous process."
        )
    ends = sorted({float(g[-1]) for g in grids})
    if ends[0] < 1:
        notes.append(
            f"runs end at t = {ends[0]:.6g}; distances are to the law there where it is known, "
            f"else to the data."
        )
    if subject.bridge is None:
        notes.append(
            f"the continuous process was simulated at the finest run's {steps} steps, one order "
            f"more accurately; at that step itself it is known to about h."
        )
    return tuple(notes)
