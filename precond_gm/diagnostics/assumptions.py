"""What of the theorems' hypotheses can be checked on data, what cannot, and what follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import Tensor

from precond_gm import couplings
from precond_gm.couplings.base import AbstractCoupling
from precond_gm.diagnostics.ends import local_generator
from precond_gm.diagnostics.step_size.drift_bound import held_out_drift
from precond_gm.diagnostics.step_size.subject import LEAST_ROWS
from precond_gm.diagnostics.tails import Moment, moments_of, repeated_share, tail_index
from precond_gm.errors import IncompatiblePartsError, InvalidInputError
from precond_gm.flow import PreconditionedFlow
from precond_gm.numerics.conversion import conversion
from precond_gm.numerics.noise import standard_normal
from precond_gm.numerics.rows import check_label, check_rows, flatten
from precond_gm.numerics.statistics import Estimate
from precond_gm.solvers import grids
from precond_gm.values import AbstractReport, Batch, TargetKind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Assumption", "AssumptionsReport", "assumptions"]

Verdict: TypeAlias = Literal["holds", "doubtful", "fails", "not checkable"]
_ENDS = (0.3, 0.1, 0.03, 0.01, 0.003)  # distances to t = 1 where the score is looked at
_DISCRETE = 0.5  # share of rows with a repeated value, in any feature, that no density gives
_HIGHEST = 8  # the moment that the theorems ask for


@dataclass(frozen=True)
class Assumption:
    """One hypothesis.

    Attributes:
        name: Its name in the papers.
        statement: What it says.
        verdict: What the data say about it.
        evidence: The numbers behind the verdict.
        meaning: What it means for the bound.
    """

    name: str
    statement: str
    verdict: Verdict
    evidence: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.name} {self.verdict}: {self.statement} {self.evidence} {self.meaning}"


@dataclass(frozen=True)
class AssumptionsReport(AbstractReport):
    """Hypotheses with verdicts, and the numbers behind them.

    Attributes:
        checks: One record per hypothesis, or part of one.
        moments: Moments of ``|z1|`` up to the eighth.
        tail_index: Index of ``|z1|`` about its mean.
        norms: ``|z1|`` of every row about its mean, decreasing, for the figure.
        drift_error: Upper bound of the drift part of the path divergence on 64 equal steps, from
            the held-out loss; None without a flow on a path with noise.
        score_gap: Distances to t = 1 where the score was looked at; None where it is not known.
        score_norm: ``(E|score|^8)^(1/8)`` there.
        score_growth: Exponent a of ``score ~ (1 - t)^(-a)``; near 0 for data with a density.
    """

    checks: tuple[Assumption, ...]
    moments: tuple[Moment, ...]
    tail_index: Estimate
    norms: Tensor
    drift_error: Estimate | None
    score_gap: Tensor | None
    score_norm: Tensor | None
    score_growth: float | None

    def __getitem__(self, name: str) -> Assumption:
        """Return the hypothesis of that name."""
        return next(check for check in self.checks if check.name == name)

    def as_metrics(self) -> dict[str, float]:
        """Return the numbers under ``assumptions/...``."""
        found = {f"moment_{m.power}/root": m.root.value for m in self.moments}
        found |= {f"moment_{m.power}/largest_share": m.largest_share for m in self.moments}
        found["tail_index"] = self.tail_index.value
        if self.drift_error is not None:
            found["drift_error"] = self.drift_error.value
        if self.score_growth is not None:
            found["score_growth"] = self.score_growth
        found["num_failing"] = float(sum(c.verdict == "fails" for c in self.checks))
        return {f"assumptions/{k}": v for k, v in found.items() if math.isfinite(v)}

    def plot(self) -> Figure:
        """Draw the tail of the norm, and the score's norm near the data."""
        from precond_gm.plotting.assumptions import plot_assumptions

        return plot_assumptions(
            norms=self.norms,
            index=self.tail_index.value,
            gap=self.score_gap,
            score=self.score_norm,
        )


def assumptions(
    x: Tensor,
    label: Tensor | None = None,
    *,
    flow: PreconditionedFlow | None = None,
    coupling: Any = "independent",
    generator: torch.Generator | None = None,
) -> AssumptionsReport:
    """Check hypotheses H1 to H4 of the bounds on held-out data, as far as data can.

    Args:
        x: Held-out rows ``batch *event``.
        label: Their labels.
        flow: Trained flow; its map, coupling and network are then what is checked.
        coupling: Coupling, where there is no flow.
        generator: Source of everything random; None is a fixed seed.

    Raises:
        InvalidInputError: Rows that are not finite, or fewer than 64.

    References:
        2409.08311, hypotheses H1 to H4 and theorems 2 and 3; 2606.16610, theorems 1 to 3.

    Example:
        >>> import torch
        >>> x = torch.rand(500, 3, generator=torch.Generator().manual_seed(0))
        >>> report = assumptions(x)
        >>> report["H1"].verdict == "fails", report["H4"].verdict
        (False, 'not checkable')
    """
    generator = local_generator(generator)
    check_rows(x)
    check_label(label, x.shape[0])
    if x.shape[0] < LEAST_ROWS:
        raise InvalidInputError(f"tails take at least {LEAST_ROWS} rows; got {x.shape[0]}.")
    z1 = x if flow is None else flow.precondition(x, label)
    pairing = couplings.REGISTRY.resolve(coupling) if flow is None else flow.coupling
    rows = flatten(z1)
    centred = rows - rows.mean(0)
    moments, index = moments_of(rows), tail_index(centred)
    discrete = float(repeated_share(flatten(x)).max())
    drift = None if flow is None else _drift_error(flow, Batch(x, label), generator)
    gap, norm, growth = None, None, None
    if flow is not None:
        gap, norm, growth = _score_near_data(flow, z1, label, generator)
    checks = (
        _moments_check(moments, index),
        _density_check(discrete, growth),
        _coupling_check(pairing, discrete),
        _drift_check(drift),
        Assumption(
            "H4",
            "The conditional densities are smooth enough for the projected process to exist.",
            "not checkable",
            "No finite sample decides this.",
            "It is taken for granted wherever the drift is used.",
        ),
    )
    return AssumptionsReport(
        checks=checks,
        moments=moments,
        tail_index=index,
        norms=centred.double().norm(dim=1).sort(descending=True).values.cpu(),
        drift_error=drift,
        score_gap=gap,
        score_norm=norm,
        score_growth=growth,
    )


def _moments_check(moments: tuple[Moment, ...], index: Estimate) -> Assumption:
    last = moments[-1]
    verdict: Verdict = "holds" if index.low > _HIGHEST else "doubtful"
    if index.high < _HIGHEST:
        verdict = "fails"
    return Assumption(
        "H1",
        "Source and data have finite moments up to the eighth.",
        verdict,
        f"Tail index {index.value:.3g} [{index.low:.3g}, {index.high:.3g}] (inf: light); 8th root "
        f"of the 8th moment {last.root.value:.3g}, of which the largest row carries "
        f"{last.largest_share:.0%}.",
        "Moments above the tail index are infinite, and with the eighth so is the bound; the "
        "algorithm still runs, without this guarantee. A source N(0, I) has all moments.",
    )


def _density_check(discrete: float, growth: float | None) -> Assumption:
    verdict: Verdict = "not checkable"
    seen = f"At most {discrete:.0%} of the rows share a value in some feature."
    if growth is not None:
        seen += f" The network's score grows like (1 - t)^-{growth:.2f} towards the data."
        verdict = "holds" if growth < 0.2 else "doubtful"
    if discrete > _DISCRETE:
        verdict = "fails"
    return Assumption(
        "H2",
        "The data have a density whose score has a finite eighth moment.",
        verdict,
        seen,
        "Without it the theorems without early stopping say nothing: stop at 1 - delta (theorem 3 "
        "of 2409.08311), or use the geometric grid (theorem 3 of 2606.16610). Adding noise of a "
        "grey level's width gives the data a density.",
    )


def _coupling_check(coupling: AbstractCoupling, discrete: float) -> Assumption:
    statement = "The coupling has a joint density with a score."
    if coupling.is_independent:
        verdict: Verdict = "fails" if discrete > _DISCRETE else "holds"
        seen = "The ends are independent, so the joint density is the product, if there is one."
    else:
        verdict = "doubtful"
        seen = (
            "The ends are coupled. Optimal plans are concentrated on a graph and have no density; "
            "entropic plans have one; plans of minibatches lie between."
        )
    return Assumption(
        "H2 (coupling)",
        statement,
        verdict,
        seen,
        "The bound of theorem 2 needs the coupling's score; the one with early stopping and "
        "independent ends needs only the source's.",
    )


def _drift_check(drift: Estimate | None) -> Assumption:
    statement = "The drift is estimated with an error of eps^2 in mean square along the process."
    meaning = "The bound has eps^2 / (2 sigma^2) as a term that no number of steps removes."
    if drift is None:
        return Assumption(
            "H3", statement, "not checkable", "No flow with noise was given.", meaning
        )
    seen = (
        f"From the held-out loss it costs at most {drift.value:.3g} nats of path divergence on 64 "
        f"steps [{drift.low:.3g}, {drift.high:.3g}], most of which no network removes."
    )
    return Assumption("H3", statement, "holds", seen, meaning)


def _drift_error(
    flow: PreconditionedFlow, held_out: Batch, generator: torch.Generator
) -> Estimate | None:
    if not flow.path.diffusion:
        return None
    times = grids.uniform(64, flow.t_max)
    bound, _ = held_out_drift(flow, held_out, [times], generator=generator)
    value, half = float(bound.value), bound.quantile * float(bound.standard_error)
    return Estimate(value, max(0.0, value - half), value + half)


@torch.no_grad()
def _score_near_data(
    flow: PreconditionedFlow, z1: Tensor, label: Tensor | None, generator: torch.Generator
) -> tuple[Tensor | None, Tensor | None, float | None]:
    """Return the score's norm near t = 1, where the prediction implies a score."""
    objective, norms = flow.objective, []
    for gap in _ENDS:
        t = torch.full((z1.shape[0],), 1 - gap, dtype=z1.dtype, device=z1.device)
        pairing = flow.coupling.pair(standard_normal(z1, generator), z1, label, generator=generator)
        point = flow.path.sample(pairing, t, generator=generator)
        try:
            affine = conversion(
                point.coefficients,
                objective.prediction,
                TargetKind.SCORE,
                gaussian_source=objective.gaussian_source,
            )
        except IncompatiblePartsError:
            return None, None, None
        mean = objective.mean(flow.field(t, point.z_t, point.label))
        each = affine(mean, point.z_t).flatten(1).double().norm(dim=1)
        norms.append(each.pow(_HIGHEST).mean().pow(1 / _HIGHEST))
    gaps, norm = torch.tensor(_ENDS, dtype=torch.float64), torch.stack(norms).cpu()
    x = gaps.log() - gaps.log().mean()
    return gaps, norm, -float((norm.log() * x).sum() / x.square().sum())
