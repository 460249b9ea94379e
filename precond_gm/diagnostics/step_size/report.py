"""The frozen result of a step-size study."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from precond_gm.diagnostics.step_size.recommend import Recommendation, recommend
from precond_gm.diagnostics.step_size.replicates import Replicates, Slope
from precond_gm.values import AbstractReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["THEORY_SLOPES", "StepSizeReport"]

# Slope in h of each error with the exact drift, as h goes to 0 (for the divergence of the
# marginals: for smooth targets). Published bounds have slope 1 for both divergences, 1/2 for W2.
THEORY_SLOPES = {
    "path_kl": 1.0,
    "discretisation": 1.0,
    "strong_error": 1.0,
    "w2": 1.0,
    "marginal_kl": 2.0,
}


@dataclass(frozen=True)
class StepSizeReport(AbstractReport):
    """Errors of Euler-Maruyama against the step size, every step size on the same noise.

    Tensors have shape ``steps``; divergences are in nats.

    Attributes:
        name: What was studied.
        grid: Name of the grid.
        steps: Numbers of steps.
        h: Mean step of each grid.
        times: The grids themselves.
        path_kl: KL(exact process || Euler-Maruyama) of the paths, by Girsanov. Where the exact
            drift is not known: of the dynamics' own continuous process, which leaves the drift
            error out; ``meaning`` says which. None for an ODE.
        strong_error: Root mean square of the distance to the exact process on the same noise, in z.
        w2: 2-Wasserstein distance at the end; ``meaning`` says to what.
        marginal_kl: KL(target || generated) at the end, where the law is known: from the moments
            of a Gaussian, else from the density of the last step.
        discretisation: Part of ``path_kl`` that is there with the exact drift.
        drift: Part of ``path_kl`` from the error of the drift; an upper bound from held-out data
            where the exact drift is not known.
        cross: ``path_kl`` less its two parts.
        energy: Energy distance to held-out data.
        standard_errors: Of each of these, by name.
        slopes: Of each of these against h, with intervals, by name; none of distances to data,
            which hold the error of the network and the noise floor as well.
        exact: Exact values by name, where a closed form gives them.
        roughness: ``int G dt`` where it is known: ``h / 4`` times it is the path divergence for
            small h.
        floors: Noise floor of ``w2`` and ``energy``.
        meaning: What a quantity is against, or why it is not there.
        num_samples: Rows of each run.
        num_reference: Rows of the exact process among them.
        evaluations: Evaluations of the dynamics, over those of the finest run alone.
        notes: What the reader should know.
    """

    name: str
    grid: str
    steps: tuple[int, ...]
    h: Tensor
    times: tuple[Tensor, ...]
    path_kl: Tensor | None
    strong_error: Tensor
    w2: Tensor
    marginal_kl: Tensor | None
    discretisation: Tensor | None
    drift: Tensor | None
    cross: Tensor | None
    energy: Tensor | None
    standard_errors: dict[str, Tensor]
    slopes: dict[str, Slope]
    exact: dict[str, Tensor]
    roughness: float | None
    floors: dict[str, float]
    meaning: dict[str, str]
    num_samples: int
    num_reference: int
    evaluations: float
    notes: tuple[str, ...] = ()
    replicates: dict[str, Replicates] = field(repr=False, default_factory=dict)

    @property
    def quantities(self) -> dict[str, Tensor]:
        """Every error that was measured, by name."""
        return {name: found.value for name, found in self.replicates.items()}

    @property
    def path_kl_bound(self) -> Tensor | None:
        """Twice the sum of the two parts: bounds ``path_kl`` whatever the cross term."""
        if self.discretisation is None or self.drift is None:
            return None
        return 2 * (self.discretisation + self.drift)

    def recommend(self, **wanted: float) -> Recommendation:
        """Return the least number of steps of this grid that keeps the errors asked for.

        Args:
            wanted: Largest allowed value by name, such as ``path_kl=1e-3`` or ``w2=0.05``.

        Raises:
            InvalidInputError: An error that was not measured, or that more steps do not reach.

        Example:
            >>> from precond_gm.closed_form import GaussianBridge
            >>> from precond_gm.diagnostics import step_size
            >>> unit = GaussianBridge(0.0, 1.0, 0.0, 1.0)
            >>> report = step_size(unit, steps=(16, 32), num_samples=256)
            >>> 25 <= report.recommend(path_kl=0.01).steps <= 28  # 25 with the exact values
            True
        """
        return recommend(self.grid, self.steps, self.replicates, self.floors, wanted)

    def series(self) -> dict[int, dict[str, float]]:
        """Return the errors with the number of sampling steps as key."""
        found: dict[int, dict[str, float]] = {}
        for i, n in enumerate(self.steps):
            values = {name: float(value[i]) for name, value in self.quantities.items()}
            values |= {f"{k}_error": float(v[i]) for k, v in self.standard_errors.items()}
            found[n] = {f"step_size/{name}": v for name, v in values.items() if math.isfinite(v)}
        return found

    def as_metrics(self) -> dict[str, float]:
        """Return the errors of the finest run, slopes, floors and cost under ``step_size/...``."""
        finest = max(range(len(self.steps)), key=lambda i: self.steps[i])
        found = {f"finest/{name}": float(v[finest]) for name, v in self.quantities.items()}
        found |= {f"slope/{name}": float(slope) for name, slope in self.slopes.items()}
        found |= {f"floor/{name}": value for name, value in self.floors.items()}
        found |= {"evaluations": self.evaluations, "num_samples": float(self.num_samples)}
        return {f"step_size/{k}": v for k, v in found.items() if math.isfinite(v)}

    def to_dict(self) -> dict[str, object]:
        """Return the report as JSON-ready values, without the replicates behind its intervals."""
        found = super().to_dict()
        del found["replicates"]
        return found

    def plot(self) -> Figure:
        """Draw every error against h, with the theoretical lines as upper bounds."""
        from precond_gm.plotting.step_size import plot_step_size

        return plot_step_size(
            title=f"{self.name}, grid {self.grid}",
            h=self.h,
            values=self.quantities,
            errors={k: 2 * v for k, v in self.standard_errors.items()},
            slopes={name: str(slope) for name, slope in self.slopes.items()},
            exact=self.exact,
            floors=self.floors,
            theory=THEORY_SLOPES,
            leading=None if self.roughness is None else self.h * self.roughness / 4,
            bound=self.path_kl_bound,
            drift_label="drift part" + (", at most" if "drift" in self.meaning else ""),
        )


def h_of(times: Tensor) -> float:
    """Return the mean step of a grid."""
    return float(times[-1] - times[0]) / (times.shape[0] - 1)


def mean_steps(grids: tuple[Tensor, ...]) -> Tensor:
    """Return the mean step of each grid, float64."""
    return torch.tensor([h_of(times) for times in grids], dtype=torch.float64)
