"""Which preconditioner to use for these data, and why: fitted here, judged on rows held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from precond_gm.diagnostics.candidates import Budget, Candidate, judged, sampling_seconds
from precond_gm.preconditioners.judging import condition_number, judged_features
from precond_gm.values import AbstractReport, Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AdviceReport", "Candidate", "advise", "default_candidates"]

WELL_CONDITIONED = 10.0  # below, gradient descent needs about ten times the steps of the best case
AS_GOOD = 1.5  # condition numbers within this factor are treated as one
JUDGED_SHARE = 0.5  # of the features; with fewer a condition number is a bound that says little


@dataclass(frozen=True)
class AdviceReport(AbstractReport):
    """Candidates, best first, and the one to use.

    Attributes:
        candidates: Judged candidates; those that failed stand last.
        recommended: Name of the one to use.
        reason: Why.
        condition_before: Held-out condition number of the data themselves.
        num_rows: Rows fitted on and rows judged on.
        is_conditioning_judged: Whether the held-out rows are enough for condition numbers; if
            not, these are bounds that say little, and the likelihood alone decides.
        notes: How far the judgement reaches.
    """

    candidates: tuple[Candidate, ...]
    recommended: str
    reason: str
    condition_before: float
    num_rows: tuple[int, int]
    is_conditioning_judged: bool = True
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
            self.is_conditioning_judged,
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
    max_seconds: float | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> AdviceReport:
    """Fit each candidate on ``train``, judge it on ``held_out``, and say which to use.

    The rule, in this order: data that are well conditioned need none; a condition number within a
    factor 1.5 of the best; a held-out likelihood within two standard errors of the best of these,
    paired by row; the cheapest of what is left. Where held-out rows are too few to judge the
    condition number of half of the features, the likelihood decides without it.

    Args:
        train: Rows to fit on, with labels where there are any.
        held_out: Rows to judge on.
        candidates: Names, chained by ``+``; None tries what suits the shape of a row.
        num_labels: Number of classes.
        max_steps: Bound on the optimiser of maps that are trained.
        max_seconds: Seconds that each of these may train; None is no limit.
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
    budget = Budget(max_steps, max_seconds, seed)
    sampling = sampling_seconds(train.x)
    tried: list[tuple[Candidate, Tensor | None]] = []
    for name in names:
        if progress is not None:
            progress(name)
        tried.append(judged(name, train, held_out, num_labels, budget, sampling))
    seen = condition_number(held_out.x, held_out.label)
    before, rows, dim = seen.value, held_out.x.shape[0], held_out.x[0].numel()
    enough = seen.note is None or judged_features(rows, dim) >= JUDGED_SHARE * dim
    found = _ranked(tried, enough)
    working = [one for one in found if one.failure is None]
    recommended, reason = _by_condition(working, before) if enough else _by_likelihood(working)
    return AdviceReport(
        tuple(found),
        recommended,
        reason,
        before,
        (train.x.shape[0], rows),
        enough,
        () if seen.note is None else (seen.note,),
    )


def _ranked(tried: list[tuple[Candidate, Tensor | None]], by_condition: bool) -> list[Candidate]:
    """Add the paired likelihood gaps; sort by condition number, or else by likelihood."""
    rows = [density for _, density in tried if density is not None]
    best = max(rows, key=lambda density: float(density.mean()), default=None)
    found = []
    for one, density in tried:
        if density is not None and best is not None:
            gap = best - density
            error = float(gap.std() / len(gap) ** 0.5)
            found.append(replace(one, behind=float(gap.mean()), behind_error=error))
        else:
            found.append(one)

    def order(one: Candidate) -> tuple[bool, float]:
        figure = one.condition_number if by_condition else one.behind
        return one.failure is not None, figure

    return sorted(found, key=order)


def _by_condition(working: list[Candidate], before: float) -> tuple[str, str]:
    if before <= WELL_CONDITIONED:
        return "identity", (
            f"the condition number of the data is {_plain(before)} already; a preconditioner has "
            f"little to gain here"
        )
    if not working or working[0].condition_number >= before:
        return "identity", "no candidate improved the held-out condition number"
    least = working[0].condition_number
    good = [one for one in working if one.condition_number <= AS_GOOD * least]
    one, said = _cheapest_of_likely(good, "as well conditioned")
    return (
        one.name,
        f"held-out condition number {_plain(before)} -> {_plain(one.condition_number)}{said}",
    )


def _by_likelihood(working: list[Candidate]) -> tuple[str, str]:
    if not working:
        return "identity", "no candidate could be fitted"
    one, said = _cheapest_of_likely(working, "tried")
    return one.name, f"held-out rows are too few for condition numbers, so likelihood decides{said}"


def _cheapest_of_likely(good: list[Candidate], group: str) -> tuple[Candidate, str]:
    """Return the cheapest of those whose likelihood is not shown to be worse, and why."""
    top = min(good, key=lambda one: one.behind)
    ahead = {one.name: one.behind - top.behind for one in good}
    likely = [one for one in good if ahead[one.name] <= 2 * max(one.behind_error, 1e-12)]
    cheapest = min(likely, key=lambda one: one.fit_seconds + one.inverse_share)
    others = [one.name for one in likely if one is not cheapest]
    also = f"; {', '.join(others)} did as well at a higher cost" if others else ""
    less = [one for one in good if one not in likely]
    if not less:
        return cheapest, f"; of those {group} none has a better held-out likelihood{also}"
    next_one = min(less, key=lambda one: ahead[one.name])
    gap = ahead[next_one.name] - ahead[cheapest.name]
    return cheapest, (
        f"; its held-out likelihood is the best of those {group}, {_plain(gap)} nats per row "
        f"before {next_one.name}{also}"
    )


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
