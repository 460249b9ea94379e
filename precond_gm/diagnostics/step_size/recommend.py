r"""From measured errors to a number of steps, on the safe side.

Between two numbers of steps that were run, and beyond the last, the error is taken to fall with the
least slope seen nearby, and never faster than theory says; what counts is the upper end of the
error's interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from precond_gm.diagnostics.step_size.replicates import Replicates
from precond_gm.errors import InvalidInputError

__all__ = ["Recommendation", "recommend"]

_FASTEST = {"path_kl": 1.0, "strong_error": 1.0, "w2": 1.0, "marginal_kl": 2.0, "energy": 2.0}
_MOST_STEPS = 10**6


@dataclass(frozen=True)
class Recommendation:
    """How many steps of which grid.

    Attributes:
        grid: Name of the grid.
        steps: Number of steps.
        wanted: What was asked for, by name.
        expected: Upper end of the error expected at that number of steps, by name.
        is_extrapolated: Whether more steps are recommended than were run.
    """

    grid: str
    steps: int
    wanted: dict[str, float]
    expected: dict[str, float]
    is_extrapolated: bool

    def __str__(self) -> str:
        goal = ", ".join(f"{name} <= {value:.3g}" for name, value in self.wanted.items())
        beyond = " (extrapolated)" if self.is_extrapolated else ""
        return f"{self.steps} steps of the grid {self.grid} for {goal}{beyond}"


def recommend(
    grid: str,
    steps: tuple[int, ...],
    errors: Mapping[str, Replicates],
    floors: Mapping[str, float],
    wanted: Mapping[str, float],
) -> Recommendation:
    """Do what ``StepSizeReport.recommend`` says."""
    if not wanted:
        raise InvalidInputError(f"say which error is wanted, one of {_names(errors)}.")
    needed, expected = 1, {}
    curves = {name: _curve(name, steps, errors, floors, value) for name, value in wanted.items()}
    for curve in curves.values():
        needed = max(needed, curve.steps_for(curve.wanted))
    for name, curve in curves.items():
        expected[name] = curve.at(needed)
    return Recommendation(grid, needed, dict(wanted), expected, needed > max(steps))


@dataclass(frozen=True)
class _Curve:
    """Upper ends of an error at increasing numbers of steps, with the slopes between them."""

    name: str
    steps: tuple[int, ...]
    upper: tuple[float, ...]
    wanted: float
    slopes: tuple[float, ...]

    def steps_for(self, wanted: float) -> int:
        """Return the least number of steps that the curve promises, never below the least run."""
        for i, value in enumerate(self.upper):
            if value <= wanted:
                if i == 0:
                    return self.steps[0]
                return min(self.steps[i], self._beyond(i - 1, wanted))
        found = self._beyond(len(self.steps) - 1, wanted)
        if found > _MOST_STEPS:
            raise InvalidInputError(
                f"{self.name} = {wanted:.3g} would take more than {_MOST_STEPS} steps: it is "
                f"{self.upper[-1]:.3g} at {self.steps[-1]} steps and falls with slope "
                f"{self.slopes[-1]:.2f}. Ask for less, run larger numbers of steps, or use "
                f"another grid."
            )
        return found

    def at(self, n: int) -> float:
        """Return the error expected with ``n`` steps."""
        i = max((i for i, m in enumerate(self.steps) if m <= n), default=0)
        return self.upper[i] * (self.steps[i] / n) ** self._slope(i)

    def _beyond(self, i: int, wanted: float) -> int:
        slope = self._slope(i)
        if slope <= 0:
            return _MOST_STEPS + 1
        ratio = math.log(self.upper[i] / wanted) / slope
        if ratio > math.log(_MOST_STEPS):
            return _MOST_STEPS + 1
        return math.ceil(self.steps[i] * math.exp(ratio) - 1e-9)

    def _slope(self, i: int) -> float:
        """Return the least slope beside point ``i``."""
        return min(self.slopes[max(0, i - 1) : i + 1])


def _curve(
    name: str,
    steps: tuple[int, ...],
    errors: Mapping[str, Replicates],
    floors: Mapping[str, float],
    wanted: float,
) -> _Curve:
    if name not in errors or name not in _FASTEST:
        known = [n for n in errors if n in _FASTEST]
        raise InvalidInputError(f"{name} was not measured. One of {_names(known)} can be wanted.")
    if not (math.isfinite(wanted) and wanted > 0):
        raise InvalidInputError(f"the wanted {name} is a positive number; got {wanted}.")
    if wanted <= floors.get(name, 0.0):
        raise InvalidInputError(
            f"{name} = {wanted:.3g} is below the noise floor {floors[name]:.3g} of so many "
            f"held-out rows: nobody could tell. Give more held-out rows, or ask for path_kl."
        )
    order = sorted(range(len(steps)), key=lambda i: steps[i])
    found, goal = errors[name], wanted
    if name == "path_kl" and "cross" in errors:
        found, goal = errors["discretisation"], _left_for_steps(errors, wanted)
    upper = (found.value + found.quantile * found.standard_error).tolist()
    values = [max(float(found.value[i]), 1e-300) for i in order]
    counts = tuple(steps[i] for i in order)
    slopes = tuple(
        min(
            _FASTEST[name],
            math.log(values[i] / values[i + 1]) / math.log(counts[i + 1] / counts[i]),
        )
        for i in range(len(order) - 1)
    )
    return _Curve(name, counts, tuple(upper[i] for i in order), goal, slopes or (_FASTEST[name],))


def _left_for_steps(errors: Mapping[str, Replicates], wanted: float) -> float:
    r"""Return what the discretisation part may be beside the drift part.

    By Cauchy and Schwarz the whole is at most :math:`(\sqrt{disc} + \sqrt{drift})^2`.
    """
    drift = errors["drift"]
    part = float((drift.value + drift.quantile * drift.standard_error).max())
    if part >= wanted:
        raise InvalidInputError(
            f"path_kl = {wanted:.3g} is not reached by any number of steps: the error of the drift "
            f"alone costs up to {part:.3g}. Train longer or with a larger network."
        )
    return (math.sqrt(wanted) - math.sqrt(part)) ** 2


def _names(names: object) -> str:
    return ", ".join(str(n) for n in names)  # type: ignore[attr-defined]
