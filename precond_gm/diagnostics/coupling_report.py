"""What a coupling does to a batch: the report, and several drawn beside one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from precond_gm.values import AbstractReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CouplingReport", "plot_comparison"]

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
