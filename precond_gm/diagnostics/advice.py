"""Which preconditioner to use for these data, and why: fitted here, judged on rows held out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from precond_gm import preconditioners
from precond_gm.errors import PrecondError
from precond_gm.models import MLP
from precond_gm.preconditioners.base import AbstractPreconditioner
from precond_gm.preconditioners.judging import condition_number, gaussian_log_density
from precond_gm.registry import spec_of
from precond_gm.values import AbstractReport, Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AdviceReport", "Candidate", "advise", "default_candidates"]

WELL_CONDITIONED = 10.0  # below, gradient descent needs about ten times the steps of the best case
AS_GOOD = 1.5  # condition numbers within this factor are treated as one
SAMPLING_EVALUATIONS, SAMPLING_ROWS = 100, 256  # 50 steps of Heun, the demonstration's batch


@dataclass(frozen=True)
class Candidate:
    """A preconditioner, judged on held-out rows.

    Attributes:
        name: Name, or names joined by ``+``.
        inverse: ``closed-form`` or ``numerical``.
        condition_number: Held-out, of the worst label that has rows enough.
        log_likelihood: Held-out mean log-density per row, in nats.
        behind: Mean held-out log-likelihood behind the best candidate's, paired by row.
        behind_error: Standard error of ``behind``.
        fit_seconds: Wall time of the fit.
        inverse_ms: Milliseconds of the inverse per 1,000 rows.
        inverse_share: Time of the inverse over that of 50 Heun steps of a 256-wide MLP.
        round_trip_error: Largest ``|T^-1(T(x)) - x|`` relative to the largest ``|x|``.
        failure: Why it cannot be used here, or None.
    """

    name: str
    inverse: str = ""
    condition_number: float = float("nan")
    log_likelihood: float = float("nan")
    behind: float = float("nan")
    behind_error: float = float("nan")
    fit_seconds: float = float("nan")
    inverse_ms: float = float("nan")
    inverse_share: float = float("nan")
    round_trip_error: float = float("nan")
    failure: str | None = None


@dataclass(frozen=True)
class AdviceReport(AbstractReport):
    """Candidates, best first, and the one to use.

    Attributes:
        candidates: Judged candidates; those that failed stand last.
        recommended: Name of the one to use.
        reason: Why.
        condition_before: Held-out condition number of the data themselves.
        num_rows: Rows fitted on and rows judged on.
        notes: How far the judgement reaches.
    """

    candidates: tuple[Candidate, ...]
    recommended: str
    reason: str
    condition_before: float
    num_rows: tuple[int, int]
    notes: tuple[str, ...] = ()

    def as_metrics(self) -> dict[str, float]:
        """Return condition number, likelihood and costs of each candidate that works."""
        return {
            f"advice/{one.name.replace('+', '-')}/{key}": getattr(one, key)
            for one in self.candidates
            if one.failure is None
            for key in ("condition_number", "log_likelihood", "fit_seconds", "inverse_ms")
        }

    def plot(self) -> Figure:
        """Draw condition number, likelihood and cost side by side."""
        from precond_gm.plotting.advice import plot_advice

        working = [one for one in self.candidates if one.failure is None]
        return plot_advice(
            [one.name for one in working],
            [one.condition_number for one in working],
            [(one.behind, one.behind_error) for one in working],
            [(one.fit_seconds, one.inverse_share) for one in working],
            self.recommended,
        )


def default_candidates(event_shape: tuple[int, ...]) -> list[str]:
    """Return names worth trying for rows of this shape.

    Above 1,024 features a d x d covariance per label is too large or too noisy, so maps of lower
    cost take its place; images also try maps that know about space.
    """
    dim = torch.Size(event_shape).numel()
    names = ["identity", "standardize"]
    names += ["whiten", "hierarchical"] if dim <= 1024 else ["low-rank"]
    if len(event_shape) == 3:
        names += ["spectral", "patch"]
    if dim <= 128:
        names += ["zuko.realnvp", "zuko.nsf"]
    return names


def advise(
    train: Batch,
    held_out: Batch,
    *,
    candidates: Sequence[str] | None = None,
    num_labels: int | None = None,
    max_steps: int = 300,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> AdviceReport:
    """Fit each candidate on ``train``, judge it on ``held_out``, and say which to use.

    The rule, in this order: data that are well conditioned need none; a condition number within a
    factor 1.5 of the best; a held-out likelihood within two standard errors of the best of these,
    paired by row; the cheapest of what is left.

    Args:
        train: Rows to fit on, with labels where there are any.
        held_out: Rows to judge on.
        candidates: Names, chained by ``+``; None tries what suits the shape of a row.
        num_labels: Number of classes.
        max_steps: Bound on the optimiser of maps that are trained.
        seed: Of every fit.
        progress: Told the name of each candidate.

    Example:
        >>> import torch
        >>> from precond_gm.values import Batch
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(4000, 2, generator=g) @ torch.tensor([[30.0, 29.0], [0.0, 1.0]])
        >>> report = advise(
        ...     Batch(x[:2000]), Batch(x[2000:]), candidates=["identity", "standardize", "whiten"]
        ... )
        >>> report.recommended
        'whiten'
    """
    names = list(candidates or default_candidates(tuple(train.x.shape[1:])))
    sampling = _sampling_seconds(train.x)
    judged: list[tuple[Candidate, Tensor | None]] = []
    for name in names:
        if progress is not None:
            progress(name)
        judged.append(_judged(name, train, held_out, num_labels, max_steps, seed, sampling))
    before, note = condition_number(held_out.x, held_out.label)
    found = _ranked(judged)
    recommended, reason = _chosen([one for one in found if one.failure is None], before)
    return AdviceReport(
        tuple(found),
        recommended,
        reason,
        before,
        (train.x.shape[0], held_out.x.shape[0]),
        () if note is None else (note,),
    )


def _judged(
    name: str,
    train: Batch,
    held: Batch,
    num_labels: int | None,
    max_steps: int,
    seed: int,
    sampling: float,
) -> tuple[Candidate, Tensor | None]:
    generator = torch.Generator().manual_seed(seed)
    try:
        part = preconditioners.REGISTRY.resolve(spec_of(name))
        start = time.perf_counter()
        part.fit(
            train.x, train.label, num_labels=num_labels, max_steps=max_steps, generator=generator
        )
        seconds = time.perf_counter() - start
        with torch.no_grad():
            there = part(held.x, held.label)
            back = part.inverse(there.value, held.label).value
    except PrecondError as error:
        return Candidate(name, failure=str(error)), None
    log_density = (gaussian_log_density(there.value) + there.log_abs_det).double()
    per_thousand = _inverse_seconds(part, there.value, held.label) * 1000
    return Candidate(
        name,
        inverse=part.inverse_kind.value,
        condition_number=condition_number(there.value, held.label)[0],
        log_likelihood=float(log_density.mean()),
        fit_seconds=seconds,
        inverse_ms=1e3 * per_thousand,
        inverse_share=per_thousand * SAMPLING_ROWS / 1000 / sampling,
        round_trip_error=float((back - held.x).abs().max() / held.x.abs().max().clamp_min(1e-30)),
    ), log_density


def _ranked(judged: list[tuple[Candidate, Tensor | None]]) -> list[Candidate]:
    """Add the paired likelihood gaps, and sort by condition number."""
    rows = [density for _, density in judged if density is not None]
    best = max(rows, key=lambda density: float(density.mean()), default=None)
    found = []
    for one, density in judged:
        if density is None or best is None:
            found.append(one)
            continue
        gap = best - density
        values = {**vars(one), "behind": float(gap.mean())}
        values["behind_error"] = float(gap.std() / len(gap) ** 0.5)
        found.append(Candidate(**values))
    return sorted(found, key=lambda one: (one.failure is not None, one.condition_number))


def _chosen(working: list[Candidate], before: float) -> tuple[str, str]:
    if before <= WELL_CONDITIONED:
        return "identity", (
            f"the condition number of the data is {before:.3g} already; a preconditioner has "
            f"little to gain here"
        )
    if not working or working[0].condition_number >= before:
        return "identity", "no candidate improved the held-out condition number"
    least = working[0].condition_number
    good = [one for one in working if one.condition_number <= AS_GOOD * least]
    top = min(good, key=lambda one: one.behind)
    good = [one for one in good if one.behind - top.behind <= 2 * max(one.behind_error, 1e-12)]
    cheapest = min(good, key=lambda one: one.fit_seconds + one.inverse_share)
    others = [one.name for one in good if one is not cheapest]
    also = f"; {', '.join(others)} did as well at a higher cost" if others else ""
    return cheapest.name, (
        f"held-out condition number {before:.3g} -> {cheapest.condition_number:.3g}, its "
        f"likelihood is not worse than the best of those as well conditioned{also}"
    )


def _inverse_seconds(part: AbstractPreconditioner, z: Tensor, label: Tensor | None) -> float:
    """Time the inverse per row, the second of two calls."""
    rows = min(z.shape[0], 1000)
    few = None if label is None else label[:rows]
    with torch.no_grad():
        for _ in range(2):
            start = time.perf_counter()
            part.inverse(z[:rows], few)
            seconds = time.perf_counter() - start
    return seconds / rows


def _sampling_seconds(x: Tensor) -> float:
    """Time what sampling costs beside the inverse: 100 evaluations of a small network."""
    network = MLP(tuple(x.shape[1:]))
    rows = x[:1].expand(SAMPLING_ROWS, *x.shape[1:]).float()
    t = torch.full((SAMPLING_ROWS,), 0.5)
    with torch.no_grad():
        network(t, rows)
        start = time.perf_counter()
        for _ in range(10):
            network(t, rows)
    return (time.perf_counter() - start) * SAMPLING_EVALUATIONS / 10
