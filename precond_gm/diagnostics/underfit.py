r"""Which directions training leaves behind, proved: an affine map would do better there.

For every t and every eigen-direction of Sigma_t the network's held-out squared error is compared,
row by row, with that of the best linear predictor. The minimiser of the loss is at least as good
as any affine map, so a network that is worse is under-fitted in that direction, whatever its loss
looks like. The converse does not hold: a network can beat the affine map and still be far from
the optimum.

Both the affine map and the directions come from rows that are not judged along them. Along the
eigenvectors of few rows these very rows have almost no variance, so there even the exact field
would seem to err.
"""

from __future__ import annotations

import math
from collections import defaultdict

import torch
from torch import Tensor

from precond_gm.diagnostics.baseline import Baseline
from precond_gm.diagnostics.end_moments import EndMoments
from precond_gm.diagnostics.ends import local_generator
from precond_gm.diagnostics.judged_rows import (
    check_margin,
    draw_pairs,
    every_other,
    inner_times,
    rows_in_z,
    warn_without_labels,
)
from precond_gm.diagnostics.judging import Basis, Judged, evaluating, pooled_covariance, predictions
from precond_gm.diagnostics.underfit_report import UnderfitReport
from precond_gm.flow import PreconditionedFlow
from precond_gm.numerics.rows import RowsLike
from precond_gm.numerics.statistics import Simultaneous, student_quantile
from precond_gm.values import Batch, Pairing, TargetKind

__all__ = ["ROWS_PER_FEATURE", "UnderfitReport", "judge", "underfit"]

ROWS_PER_FEATURE = 4  # two in each half: below, an affine map of a half is mostly noise
_RESOLVED = 1e-10  # of the largest variance: float32 rows do not resolve less


def underfit(
    flow: PreconditionedFlow,
    x: RowsLike,
    label: Tensor | None = None,
    *,
    reference: RowsLike | None = None,
    reference_label: Tensor | None = None,
    times: int | Tensor = 21,
    margin: float = 0.05,
    max_rows: int = 4096,
    preconditioned: bool = False,
    generator: torch.Generator | None = None,
) -> UnderfitReport:
    r"""Find the directions in which an affine map would do better than the network.

    A cell (t, direction e) is counted when the lower end of the paired interval of
    ``((u - u_net) e)**2 - (1 + margin) ((u - u_lin) e)**2`` is above zero, simultaneously over all
    cells. For a Gaussian target the affine map *is* the optimum and every network lies a little
    above it, hence the margin.

    An affine map takes about 2 rows per feature, so cells are judged from a reference of so many
    rows on, or from 4 per feature of ``x`` without one (and within ``max_rows``).

    Args:
        flow: The flow; its network is judged in eval mode.
        x: Data rows that the network was not trained on, or batches of them.
        label: Labels of the rows.
        reference: Rows that the linear predictor is fitted on (the training rows, say). Without
            them it is cross-fitted: each half of ``x`` is judged by a predictor of the other half.
        reference_label: Labels of the reference.
        times: Number of times inside (0, t_max), or the times.
        margin: Share of the linear predictor's residual that is forgiven, 0 or more.
        max_rows: Most rows judged, at least 8.
        preconditioned: Whether all rows are z already (from ``flow.precondition``).
        generator: Source of the noise; None is a fixed seed.

    Raises:
        InvalidInputError: Another event shape than the flow's, fewer than 8 rows, labels for some
            rows only, a negative margin.
        InvalidTypeError: Rows of a precision that the network refuses.
        NonFiniteError: The network gives NaN or infinity.

    References:
        2603.02337, section 3.
    """
    check_margin(margin)
    generator = local_generator(generator)
    rows = rows_in_z(flow, x, label, max_rows, generator, preconditioned=preconditioned)
    warn_without_labels(flow, rows)
    known = None
    if reference is not None:
        known = rows_in_z(
            flow, reference, reference_label, None, generator, preconditioned=preconditioned
        )
    return judge(flow, rows, known, times=times, margin=margin, generator=generator)


def judge(
    flow: PreconditionedFlow,
    rows: Batch,
    known: Batch | None = None,
    *,
    times: int | Tensor,
    margin: float,
    generator: torch.Generator,
) -> UnderfitReport:
    """Do what ``underfit`` says, on rows from ``rows_in_z``; ``known`` is the reference."""
    t = inner_times(flow, times)
    with evaluating(flow):
        pairs = draw_pairs(flow, rows, generator)
        if known is None:
            folds = [_moments(flow, every_other(pairs, 1)), _moments(flow, every_other(pairs, 0))]
            moments = folds[0].merge(folds[1])
        else:
            folds = [moments := _moments(flow, draw_pairs(flow, known, generator))]
        labels = [b.label for b in (rows, known) if b is not None and b.label is not None]
        num_labels = 1 + max((int(label.max()) for label in labels), default=0)
        c = flow.path.coefficients(t.to(rows.x.device))
        baselines = [Baseline.of(fold, num_labels) for fold in folds]
        bases = [Basis.of(fold, c) for fold in folds]
        cells = _Cells(rows.x.shape[0], margin, generator)
        for index, judged in enumerate(predictions(flow, pairs, t, generator)):
            vectors = [basis.vectors(index) for basis in bases]
            cells.add(judged, baselines, vectors, flow.objective.prediction)
        values = bases[0].values if known is not None else pooled_covariance(moments).spectrum(c)
    notes = _too_few(rows, known)
    return cells.report(t, values.cpu(), flow.objective.prediction.value, notes)


def _moments(flow: PreconditionedFlow, pairs: Pairing) -> EndMoments:
    return EndMoments.of_pairing(pairs, flow.coupling)


def _too_few(rows: Batch, known: Batch | None) -> tuple[str, ...]:
    """Say why nothing is judged, where the rows do not determine an affine map."""
    dim, got = rows.x[0].numel(), (rows if known is None else known).x.shape[0]
    name, share = ("rows", 1) if known is None else ("reference rows", 2)
    least = ROWS_PER_FEATURE * dim // share
    if got >= least:
        return ()
    remedy = "a reference, or more rows (and a larger max_rows)" if known is None else "more of it"
    return (
        f"nothing is judged: an affine map of {dim} features takes {least} {name} or more, and "
        f"{got} were given. Give {remedy}.",
    )


class _Cells:
    """Paired errors of every t and direction, and the bound that holds for all of them."""

    def __init__(self, rows: int, margin: float, generator: torch.Generator) -> None:
        self.rows, self.margin = rows, margin
        self.bounds = Simultaneous(rows, generator=generator)
        self.found: dict[str, list[Tensor]] = defaultdict(list)

    def add(
        self, judged: Judged, baselines: list[Baseline], bases: list[Tensor], kind: TargetKind
    ) -> None:
        """Judge one time; of two predictors each judges ``every_other`` row from its place."""
        linear = torch.empty_like(judged.target)
        for half, baseline in enumerate(baselines):
            part = slice(half, None, len(baselines))
            label = None if judged.label is None else judged.label[part]
            linear[part] = baseline.at(judged.c, kind)(judged.z[part], label)
        network = judged.squares(judged.target - judged.prediction, *bases)
        affine = judged.squares(judged.target - linear, *bases)
        spread = judged.squares(judged.target - judged.target.mean(0), *bases).mean(0)
        mean, error = self.bounds.add(network - (1 + self.margin) * affine)
        resolved = spread > _RESOLVED * spread.max()
        for name, values in (
            ("network", network.mean(0)),
            ("linear", affine.mean(0)),
            ("variance", torch.where(resolved, spread, torch.nan)),
            ("mean", mean),
            ("error", error),
        ):
            self.found[name].append(values.cpu())

    def report(
        self, t: Tensor, eigenvalues: Tensor, prediction: str, notes: tuple[str, ...]
    ) -> UnderfitReport:
        """Return the report, once every time was added; with ``notes`` no cell is judged."""
        found = {name: torch.stack(rows) for name, rows in self.found.items()}
        # The bootstrap takes the standard errors for known; Student's law pays for few rows.
        level = 0.5 * (1 + math.erf(self.bounds.factor() / math.sqrt(2)))
        factor = student_quantile(level, self.rows - 1)
        low = (found["mean"] - factor * found["error"]) / found["linear"]
        unknown = found["variance"].isnan() | bool(notes)
        excess_low = torch.where(unknown, torch.nan, low + self.margin)
        return UnderfitReport(
            t=t,
            eigenvalues=eigenvalues,
            network_error=found["network"],
            linear_error=found["linear"],
            target_variance=found["variance"],
            excess_low=excess_low,
            underfitted=excess_low > self.margin,
            margin=self.margin,
            prediction=prediction,
            num_rows=self.rows,
            notes=notes,
        )
