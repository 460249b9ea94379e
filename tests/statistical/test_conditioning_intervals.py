"""Coverage of the condition number's interval over repeated samples of a known law."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from precond_gm.diagnostics import conditioning

SEPARATED = torch.logspace(-1.5, 1, 8, dtype=torch.float64)
EQUAL = torch.ones(8, dtype=torch.float64)


def draw(rows: int, scale: Tensor, tails: str, generator: torch.Generator) -> Tensor:
    x = torch.randn(rows, len(scale), generator=generator, dtype=torch.float64)
    if tails == "heavy":  # Student's law with 8 degrees of freedom; the condition number is kept
        squares = torch.randn(rows, 8, generator=generator, dtype=torch.float64).square()
        x = x / squares.mean(1, keepdim=True).sqrt()
    return x * scale


@pytest.mark.parametrize("tails", ["normal", "heavy"])
@pytest.mark.parametrize("scale", [SEPARATED, EQUAL], ids=["separated", "equal"])
@pytest.mark.parametrize("rows", [30, pytest.param(400, marks=pytest.mark.slow)])
def test_interval_covers(rows: int, scale: Tensor, tails: str) -> None:
    """Oracle: the law's own condition number at t = 1. Nominal 95 %; 200 repeats.

    Tolerance: an interval of exactly 95 % covers fewer than 182 of 200 once in a hundred tries.
    With thirty rows in eight dimensions the sample's own condition number is off by a factor 2.
    """
    generator = torch.Generator().manual_seed(0)
    true = float((scale.max() / scale.min()) ** 2)
    covered = 0
    for _ in range(200):
        x = draw(rows, scale, tails, generator)
        report = conditioning(x, times=torch.tensor([1.0]))
        covered += float(report.condition_low) <= true * (1 + 1e-9)
        covered -= float(report.condition_high) < true
    assert covered >= 182


def test_interval_of_a_coupled_pair_holds_the_closed_form() -> None:
    """Oracle: correlated Gaussian ends, Sigma_t in closed form at every t; one sample of 2,000."""
    from precond_gm.couplings.base import AbstractCoupling
    from precond_gm.values import Pairing

    class Correlated(AbstractCoupling):
        def pair(
            self,
            z0: Tensor,
            z1: Tensor,
            label: Tensor | None = None,
            *,
            generator: torch.Generator | None = None,
        ) -> Pairing:
            return Pairing(0.6 * z1 / SEPARATED + 0.8 * z0, z1, label)

    x = draw(2000, SEPARATED, "normal", torch.Generator().manual_seed(1))
    report = conditioning(x, coupling=Correlated(), times=5)
    t = report.t[:, None]
    values = (1 - t) ** 2 + t**2 * SEPARATED**2 + 2 * t * (1 - t) * 0.6 * SEPARATED
    true = values.max(1).values / values.min(1).values
    assert (report.condition_low <= true * (1 + 1e-9)).all()
    assert (report.condition_high >= true * (1 - 1e-9)).all()
