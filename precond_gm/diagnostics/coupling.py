r"""What a coupling does to a batch: cost, use of the rows, skew of the noise within labels, time.

Shorter pairs give straighter paths, but only if the noise within each label stays N(0, I): sampling
starts from there whatever the coupling did in training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from precond_gm import couplings
from precond_gm.couplings import HasPlan
from precond_gm.couplings.within_label import check_pair
from precond_gm.diagnostics.pair_measures import (
    effective_share,
    least_cost,
    mean_cost,
    path_curvature,
    share_used,
    skew_of,
    tilt_of,
)
from precond_gm.numerics.rows import check_label, check_rows
from precond_gm.values import AbstractReport, Pairing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CouplingReport",
    "compare_couplings",
    "coupling",
    "path_curvature",
    "plot_comparison",
]

WORTH = 0.10  # a smaller relative saving of cost hardly bends the marginal paths
SKEW_SIGMAS = 5.0  # one false alarm in a million labels


@dataclass(frozen=True)
class CouplingReport(AbstractReport):
    """What a coupling does to a batch.

    Attributes:
        name: The coupling, with its options.
        num_rows: Rows of the batch.
        cost_before: Mean squared distance of the pairs as drawn.
        cost_after: Mean squared distance of the coupled pairs, weighted as the loss weights them.
        cost_optimum: The least mean squared distance of any permutation (within labels, where there
            are labels): what a label-aware coupling can reach.
        data_used: Share of the data rows that occur among the pairs.
        noise_used: Share of the noise rows that occur among the pairs.
        label_skew: For each label, by how many standard deviations mean, size and shape of its
            noise are off those of N(0, I); noise that the label did not choose stays below about 3.
        overall_skew: The same of all labels together; small batches show a skew here first.
        keeps_marginals: Whether the coupling promises to keep the laws of noise and data; the cost
            of one that does not falls by leaving rows out as well as by pairing.
        noise_shift: Distance of the mean of the pairs' noise from that of the noise drawn, in its
            standard deviations.
        noise_spread: Variance of the pairs' noise over that of the noise drawn.
        data_shift: As ``noise_shift``, of the data.
        data_spread: As ``noise_spread``, of the data.
        effective_share: Effective share of the rows under the pairs' weights; 1 without weights.
        plan_entropy: Mean entropy of a data row's noise in nats, where there is a plan; 0 for a
            permutation.
        marginal_error: Total variation of the plan's noise marginal, where there is a plan.
        milliseconds: Median time of one pairing.
        curvature: Curvature of learned paths, see ``path_curvature``; None if none were given.
    """

    name: str
    num_rows: int
    cost_before: float
    cost_after: float
    cost_optimum: float
    data_used: float
    noise_used: float
    label_skew: dict[int, float]
    overall_skew: float
    keeps_marginals: bool
    noise_shift: float
    noise_spread: float
    data_shift: float
    data_spread: float
    effective_share: float
    plan_entropy: float | None
    marginal_error: float | None
    milliseconds: float
    curvature: float | None = None

    @property
    def saving(self) -> float:
        """Share of the cost that the coupling takes away."""
        return 1 - self.cost_after / self.cost_before if self.cost_before else 0.0

    @property
    def saving_per_ms(self) -> float:
        """Squared distance saved over the whole batch for each millisecond."""
        saved = (self.cost_before - self.cost_after) * self.num_rows
        return saved / self.milliseconds if self.milliseconds else 0.0

    @property
    def worst_skew(self) -> float:
        """Largest skew, of any label or of all together, in standard deviations."""
        return max(self.overall_skew, *self.label_skew.values(), 0.0)

    @property
    def is_skewed(self) -> bool:
        """Whether labels choose their noise, beyond chance."""
        return self.worst_skew > SKEW_SIGMAS

    @property
    def conclusion(self) -> str:
        """Say in a sentence whether the coupling is worth its time."""
        if not self.keeps_marginals:
            return self._tilt
        if self.is_skewed:
            return (
                f"not usable with labels: the noise within a label is off N(0, I) by "
                f"{self.worst_skew:.0f} standard deviations. Couple within each label."
            )
        if self.cost_after == self.cost_before:
            return "no saving: pairs stay as they are drawn."
        if self.saving < WORTH:
            return (
                f"hardly worth it: the cost falls by {self.saving:.0%}, and the optimum of this "
                f"batch is {1 - self.cost_optimum / self.cost_before:.0%} below independent pairs. "
                f"A larger batch, or fewer dimensions, would save more."
            )
        return f"worth it: the cost falls by {self.saving:.0%} in {self.milliseconds:.1f} ms."

    @property
    def _tilt(self) -> str:
        """Say what a coupling that does not keep the marginals does to them."""
        off = f"Within a label the noise is off N(0, I) by {self.worst_skew:.0f} deviations. "
        return (
            f"tilted: the pairs' noise has {self.noise_spread:.0%} of the variance of the noise "
            f"drawn and a mean {self.noise_shift:.2g} deviations off, their data "
            f"{self.data_spread:.0%} and {self.data_shift:.2g}; {self.effective_share:.0%} of the "
            f"rows count, effectively. {off if self.is_skewed else ''}The cost falls by "
            f"{self.saving:.0%}, in part by leaving rows out: use 'ot' where samples must start "
            f"from N(0, I) and follow the data."
        )

    def as_metrics(self) -> dict[str, float]:
        """Return the numbers under ``coupling/...``; what is absent is left out."""
        values: dict[str, float | None] = {
            "cost_before": self.cost_before,
            "cost_after": self.cost_after,
            "cost_optimum": self.cost_optimum,
            "saving": self.saving,
            "saving_per_ms": self.saving_per_ms,
            "data_used": self.data_used,
            "noise_used": self.noise_used,
            "worst_skew": self.worst_skew,
            "overall_skew": self.overall_skew,
            "noise_shift": self.noise_shift,
            "noise_spread": self.noise_spread,
            "data_shift": self.data_shift,
            "data_spread": self.data_spread,
            "effective_share": self.effective_share,
            "plan_entropy": self.plan_entropy,
            "marginal_error": self.marginal_error,
            "milliseconds": self.milliseconds,
            "curvature": self.curvature,
        }
        return {
            f"coupling/{name}": value
            for name, value in values.items()
            if value is not None and math.isfinite(value)
        }

    def plot(self) -> Figure:
        """Draw cost, use of rows and skew."""
        return plot_comparison([self])


def coupling(
    z0: Tensor,
    z1: Tensor,
    label: Tensor | None,
    coupling: Any,
    *,
    name: str | None = None,
    trajectory: Tensor | None = None,
    repeats: int = 3,
    generator: torch.Generator | None = None,
) -> CouplingReport:
    """Measure what a coupling does to one batch.

    Args:
        z0: Noise, shape ``batch *event``; the optimum takes a time of order ``batch**3``.
        z1: Data in preconditioned coordinates, of the same shape.
        label: Integer labels, or None.
        coupling: A coupling, its name, or ``(name, options)``; fitted on ``z1`` if it needs it.
        name: What the report calls the coupling; as it was asked for by default.
        trajectory: States of generated samples on a uniform grid, shape ``times batch *event``, for
            the curvature of the learned paths.
        repeats: Pairings that are timed.
        generator: Source of the coupling's randomness.

    Raises:
        InvalidInputError: NaN, or shapes that do not belong together.

    Example:
        >>> draw = torch.Generator().manual_seed(0)
        >>> z0, z1 = torch.randn(2, 64, 2, generator=draw).unbind()
        >>> report = coupling(z0, z1, None, "ot")
        >>> math.isclose(report.cost_after, report.cost_optimum), report.data_used
        (True, 1.0)
    """
    check_rows(z0, name="z0")
    check_rows(z1, name="z1")
    check_label(label, z1.shape[0])
    check_pair(z0, z1, label)
    part = couplings.REGISTRY.resolve(coupling)
    draw = generator if generator is not None else torch.Generator().manual_seed(0)
    if part.needs_fit:
        part.fit(z1, label, generator=draw)
    pairing, milliseconds = _timed(part, z0, z1, label, draw, repeats)
    entropy, marginal_error = _plan_measures(part, z0, z1, label)
    weight, skew = pairing.weight, skew_of(pairing)
    noise, data = tilt_of(pairing.z0, z0, weight), tilt_of(pairing.z1, z1, weight)
    return CouplingReport(
        name=name or _name(coupling),
        num_rows=z1.shape[0],
        cost_before=mean_cost(z0, z1, None),
        cost_after=mean_cost(pairing.z0, pairing.z1, weight),
        cost_optimum=least_cost(z0, z1, label),
        data_used=share_used(pairing.z1, z1),
        noise_used=share_used(pairing.z0, z0),
        label_skew=skew.by_label,
        overall_skew=skew.overall,
        keeps_marginals=part.keeps_marginals,
        noise_shift=noise.shift,
        noise_spread=noise.spread,
        data_shift=data.shift,
        data_spread=data.spread,
        effective_share=1.0 if weight is None else effective_share(weight),
        plan_entropy=entropy,
        marginal_error=marginal_error,
        milliseconds=milliseconds,
        curvature=None if trajectory is None else path_curvature(trajectory),
    )


def compare_couplings(
    z0: Tensor,
    z1: Tensor,
    label: Tensor | None,
    names: list[Any],
    *,
    generator: torch.Generator | None = None,
) -> list[CouplingReport]:
    """Measure several couplings on the same batch, in the order given."""
    return [coupling(z0, z1, label, name, generator=generator) for name in names]


def plot_comparison(reports: Sequence[CouplingReport]) -> Figure:
    """Draw reports on the same batch side by side."""
    from precond_gm.plotting.coupling import plot_couplings

    return plot_couplings(
        [report.name for report in reports],
        cost=[report.cost_after for report in reports],
        before=reports[0].cost_before,
        optimum=reports[0].cost_optimum,
        data_used=[report.data_used for report in reports],
        noise_used=[report.noise_used for report in reports],
        skew=[report.label_skew for report in reports],
        milliseconds=[report.milliseconds for report in reports],
        tilted=[not report.keeps_marginals for report in reports],
    )


def _plan_measures(
    part: couplings.AbstractCoupling, z0: Tensor, z1: Tensor, label: Tensor | None
) -> tuple[float | None, float | None]:
    """Return entropy and marginal error of the plan; of plans within labels, the mean over rows."""
    if not isinstance(part, HasPlan):
        return None, None
    if label is None or not part.label_aware:
        label = torch.zeros(len(z1), dtype=torch.long)
    total = torch.zeros(2, dtype=torch.float64)
    for name, count in zip(*torch.unique(label, return_counts=True), strict=True):
        mine = (label == name).to(z1.device)
        plan = part.plan(z0[mine], z1[mine])
        total += count * torch.tensor([plan.entropy, plan.marginal_error], dtype=torch.float64)
    entropy, error = (total / len(z1)).tolist()
    return entropy, error


def _name(coupling: Any) -> str:
    """Write a coupling as it was asked for, without its defaults."""
    if isinstance(coupling, tuple):
        name, options = coupling
        return f"{name}({', '.join(f'{key}={value}' for key, value in options.items())})"
    return coupling if isinstance(coupling, str) else repr(coupling)


def _timed(
    part: couplings.AbstractCoupling,
    z0: Tensor,
    z1: Tensor,
    label: Tensor | None,
    generator: torch.Generator,
    repeats: int,
) -> tuple[Pairing, float]:
    part.pair(z0, z1, label, generator=generator)  # imports and first allocations are not timed
    times = []
    for _ in range(max(1, repeats)):
        start = time.perf_counter()
        pairing = part.pair(z0, z1, label, generator=generator)
        if z1.is_cuda:
            torch.cuda.synchronize(z1.device)
        times.append(time.perf_counter() - start)
    return pairing, sorted(times)[len(times) // 2] * 1e3
