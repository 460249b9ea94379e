"""What the step-size study refuses, and what it says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import precond_gm as pg
from precond_gm.closed_form import GaussianBridge
from precond_gm.diagnostics import step_size
from precond_gm.errors import InvalidInputError, InvalidTypeError, NonFiniteError

UNIT = GaussianBridge(0.0, 1.0, 0.0, 1.0)


@pytest.mark.parametrize("steps", [(), (0, 4), (4, 4), (4.0,), (True,)])
def test_wrong_steps(steps: tuple[Any, ...]) -> None:
    """Numbers of steps are different positive integers."""
    with pytest.raises(InvalidInputError, match="different positive integers"):
        step_size(UNIT, steps=steps)


def test_wrong_subjects() -> None:
    """What is no dynamics, lacks a source, or has too few rows is refused with a remedy."""
    with pytest.raises(InvalidTypeError, match="takes a flow, a bridge"):
        step_size(3)
    with pytest.raises(InvalidInputError, match="source of a plain callable"):
        step_size(lambda t, z, label=None: -z)
    with pytest.raises(InvalidTypeError, match="source is a tensor"):
        step_size(lambda t, z, label=None: -z, source=3)
    with pytest.raises(InvalidInputError, match="at least 64 samples"):
        step_size(UNIT, num_samples=10)
    with pytest.raises(InvalidInputError, match="num_reference lies between"):
        step_size(UNIT, num_samples=128, num_reference=512)
    with pytest.raises(InvalidInputError, match="reference has 5 rows"):
        step_size(UNIT, reference=torch.zeros(5, 1))
    with pytest.raises(InvalidTypeError, match="held-out rows"):
        step_size(UNIT, reference="data")
    with pytest.raises(InvalidInputError, match="has seen no data"):
        step_size(pg.wrap(pg.models.MLP(2, width=8)))


def test_non_finite_dynamics() -> None:
    """NaN from the network is reported with its time and the share of rows, not averaged away.

    Of 64 rows, 16 start above 100 and are broken from t = 0.75 on.
    """

    def broken(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.where((t[:, None] > 0.7) & (z > 50), torch.inf * z, 0 * z)

    def source(n: int, generator: torch.Generator) -> Tensor:
        return torch.where(torch.arange(n)[:, None] < n // 4, 100.0, -100.0)

    with pytest.raises(NonFiniteError, match=r"t = 0\.75: 16 of 64 rows \(25%\)"):
        step_size(broken, source=source, steps=(4, 8), num_samples=64, t_max=1.0)
