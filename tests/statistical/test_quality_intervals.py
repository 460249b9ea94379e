"""Coverage of the quality report's intervals over repeated samples of known laws."""

from __future__ import annotations

import math

import pytest
import torch

from precond_gm.diagnostics import quality


@pytest.mark.slow
def test_energy_distance_and_recovery_cover() -> None:
    """Oracle: energy distance of N(0,1) and N(1,1) in closed form, and a variance ratio of 4.

    Nominal 95 %, 200 repeats, Student's quantile of nine degrees of freedom; fewer than 180 of
    200 would happen less than once in a thousand tries.
    """
    generator = torch.Generator().manual_seed(0)
    across = 2 * math.exp(-1 / 4) / math.sqrt(math.pi) + math.erf(1 / 2)
    energy = 2 * across - 4 / math.sqrt(math.pi)
    covered = {"energy_distance": 0, "low_recovery": 0}
    for _ in range(200):
        data = torch.randn(450, 1, generator=generator)
        shifted = torch.randn(300, 1, generator=generator) + 1
        wide = torch.randn(300, 1, generator=generator) * 2
        options = {"max_rows": 150, "generator": generator}
        first = quality(shifted, data, metrics=["energy_distance"], **options)  # type: ignore[arg-type]
        second = quality(wide, data, metrics=["recovery"], **options)  # type: ignore[arg-type]
        metric = first["energy_distance"]
        covered["energy_distance"] += metric.low <= energy <= metric.high
        metric = second["low_recovery"]
        covered["low_recovery"] += metric.low <= 4 <= metric.high
    assert min(covered.values()) >= 180, covered
