"""Several studies side by side: grids, couplings, preconditioners, noise levels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from precond_gm.diagnostics.step_size.recommend import Recommendation
from precond_gm.diagnostics.step_size.replicates import Replicates
from precond_gm.diagnostics.step_size.report import StepSizeReport
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.statistics import Estimate
from precond_gm.values import AbstractReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["StepSizeComparison", "compare_step_sizes"]


@dataclass(frozen=True)
class StepSizeComparison(AbstractReport):
    """Studies by name; the others are compared with the first, at equal numbers of steps.

    The path divergence does not change under a reversible map of the coordinates, so it compares
    preconditioners as well; the strong error, in z, does not.

    Attributes:
        studies: Reports by name.
        is_paired: Whether all of them ran on the same noise, so that ratios know it.
    """

    studies: dict[str, StepSizeReport]
    is_paired: bool = False

    def ratio(self, name: str, quantity: str = "path_kl") -> dict[int, Estimate]:
        """Return an error of the first study over that of another, at equal numbers of steps.

        Above 1 the other study is better. Intervals are of 95 %.
        """
        first, other = next(iter(self.studies.values())), self.studies[name]
        found: dict[int, Estimate] = {}
        for i, n in enumerate(first.steps):
            if n not in other.steps or quantity not in other.replicates:
                continue
            a, b = _at(first, quantity, i), _at(other, quantity, other.steps.index(n))
            log_ratio = Replicates(
                a.value.log() - b.value.log(), a.left_out.log() - b.left_out.log()
            )
            if self.is_paired:
                error = float(log_ratio.standard_error)
            else:
                parts = (a.map(torch.log).standard_error, b.map(torch.log).standard_error)
                error = math.hypot(*(float(p) for p in parts))
            middle, half = float(log_ratio.value), a.quantile * error
            found[n] = Estimate(*(math.exp(v) for v in (middle, middle - half, middle + half)))
        return found

    def recommend(self, **wanted: float) -> tuple[str, Recommendation]:
        """Return the study with the fewest steps for the errors asked for, and its recommendation.

        Raises:
            InvalidInputError: None of them reaches it; the reasons are listed.
        """
        found: dict[str, Recommendation] = {}
        reasons = []
        for name, study in self.studies.items():
            try:
                found[name] = study.recommend(**wanted)
            except InvalidInputError as error:
                reasons.append(f"{name}: {error}")
        if not found:
            raise InvalidInputError("no study reaches what is wanted. " + " ".join(reasons))
        best = min(found, key=lambda name: found[name].steps)
        return best, found[best]

    def as_metrics(self) -> dict[str, float]:
        """Return the metrics of every study under its name, and ratios at the most steps."""
        found = {
            f"{name}/{key}": value
            for name, study in self.studies.items()
            for key, value in study.as_metrics().items()
        }
        for name in list(self.studies)[1:]:
            ratios = self.ratio(name)
            if ratios:
                found[f"{name}/step_size/path_kl_ratio"] = ratios[max(ratios)].value
        return {key: value for key, value in found.items() if math.isfinite(value)}

    def series(self) -> dict[int, dict[str, float]]:
        """Return the errors of every study under its name, with the number of steps as key."""
        found: dict[int, dict[str, float]] = {}
        for name, study in self.studies.items():
            for n, values in study.series().items():
                found.setdefault(n, {}).update({f"{name}/{k}": v for k, v in values.items()})
        return dict(sorted(found.items()))

    def to_dict(self) -> dict[str, Any]:
        """Return the studies as JSON-ready values."""
        return {
            "studies": {name: study.to_dict() for name, study in self.studies.items()},
            "is_paired": self.is_paired,
        }

    def plot(self, quantity: str = "path_kl") -> Figure:
        """Draw one error of every study against the number of steps."""
        from precond_gm.plotting.step_size import plot_comparison

        shown = {k: s for k, s in self.studies.items() if quantity in s.replicates}
        return plot_comparison(
            quantity=quantity,
            curves={
                name: (s.steps, s.quantities[quantity], 2 * s.standard_errors[quantity])
                for name, s in shown.items()
            },
            exact={k: s.exact[quantity] for k, s in shown.items() if quantity in s.exact},
        )


def compare_step_sizes(
    studies: Mapping[str, StepSizeReport], *, is_paired: bool = False
) -> StepSizeComparison:
    """Set studies side by side.

    Args:
        studies: Reports by name; the first is what the others are compared with.
        is_paired: Whether they ran on the same noise: equal seeds, samples and grids.

    Raises:
        InvalidInputError: Fewer than two studies.

    Example:
        >>> from precond_gm.closed_form import GaussianBridge
        >>> from precond_gm.diagnostics import step_size
        >>> both = compare_step_sizes({
        ...     str(v): step_size(GaussianBridge(0.0, 1.0, 0.0, v), steps=(32,), num_samples=128)
        ...     for v in (0.05, 1.0)
        ... })
        >>> both.ratio("1.0")[32].value > 10  # a narrow target costs many more steps
        True
    """
    if len(studies) < 2:
        raise InvalidInputError(f"a comparison takes two studies or more; got {len(studies)}.")
    return StepSizeComparison(dict(studies), is_paired)


def _at(report: StepSizeReport, quantity: str, index: int) -> Replicates:
    return report.replicates[quantity].map(lambda v: v[..., index])
