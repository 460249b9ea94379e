"""The figures that say which directions training left behind, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from precond_gm.plotting.underfit import plot_histories, plot_maps
from precond_gm.report.picture import Picture
from precond_gm.training.results import Comparison

__all__ = ["direction_pictures"]


def direction_pictures(comparison: Comparison, names: Sequence[str]) -> list[Picture]:
    """Return the map over t and direction, and its history, for the variants that have them."""
    maps = {n: comparison.of(n)[0].underfit for n in names if comparison.of(n)[0].underfit}
    seen = {n: [r.observer for r in comparison.of(n) if r.observer] for n in names}
    seen = {name: seeds for name, seeds in seen.items() if seeds}
    found = []
    if maps:
        found.append(
            Picture(
                "underfit",
                "What is under-fitted, by time and direction",
                "Orange: the network errs more along this direction of z_t than an affine map "
                "does, on test rows; violet: less. Dots mark cells where that is proved, with "
                "intervals that hold for all cells together. First seed.",
                lambda: plot_maps(maps),
            )
        )
    if seen:
        found.append(
            Picture(
                "history",
                "What was learned, while it was learned",
                "Left, how much of the target the network explains in the smallest directions, "
                "beside the best affine map (dashed): training is done there where the lines "
                "meet. Right, the number of directions proved under-fitted at each look, on "
                "training rows: what a network has over-fitted shows in the map of test rows "
                "only. All seeds." + _warned(seen),
                lambda: plot_histories(seen),
            )
        )
    return found


def _warned(seen: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    said = [
        f"{name} at step {run['warned_at']}"
        for name, seeds in seen.items()
        for run in seeds
        if run["warned_at"] is not None
    ]
    return f" Training warned of a standstill: {', '.join(said)}." if said else ""
