"""Steps of the loop: parts of a batch, and mixed precision."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import precond_gm as pg
from precond_gm.flow import PreconditionedFlow
from precond_gm.training.engine import make_engine
from precond_gm.training.loop import Loop
from precond_gm.training.recipe import Recipe
from precond_gm.values import Batch


def trained(folder: Path, dtype: torch.dtype = torch.float64, **settings: Any) -> Loop:
    """Train a small network for ten steps."""
    recipe = Recipe(
        **{"batch_size": 32, "validate_every": 5, "log_every": 1, "warmup_steps": 0, **settings}
    )
    torch.manual_seed(0)
    flow = pg.wrap(pg.models.MLP(3, width=16, depth=1).to(dtype), event_shape=(3,))
    x = torch.randn(128, 3, generator=torch.Generator().manual_seed(1), dtype=dtype)
    flow.fit_preconditioner(x)
    rows = Batch(x, None)
    loop = Loop(
        flow, rows, rows, recipe, seed=0, steps=10, folder=folder, engine=make_engine(recipe)
    )
    loop.run()
    return loop


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_is_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    """Gradients of the parts add up to that of the whole batch, over ten steps of AdamW.

    Oracle: the run that takes the batch at once, with a loss without randomness. Tolerance:
    float64 sums in another order, which Adam's division may enlarge.
    """

    def loss(
        self: PreconditionedFlow, x: torch.Tensor, label: None, *, field: Any, **options: Any
    ) -> Any:
        t = torch.full((x.shape[0],), 0.5, dtype=x.dtype)
        per_row = (field(t, x, label) - x.flip(1)).square().sum(1)
        return SimpleNamespace(total=per_row.mean())

    monkeypatch.setattr(PreconditionedFlow, "loss", loss)
    whole = trained(tmp_path / "a", validate_every=0)
    split = trained(tmp_path / "b", accumulate=parts, validate_every=0)
    for one, two in zip(whole.flow.field.parameters(), split.flow.field.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)
    losses = [[row[1] for row in loop.history.train] for loop in (whole, split)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)  # logged in float32


def test_bfloat16_trains_float32_weights(tmp_path: Path) -> None:
    """Mixed precision computes in bfloat16 and keeps weights, losses and averages in float32.

    Oracle: the float32 run. Tolerance: bfloat16 has 8 bits, so 1 % of each number, and a loss is
    a mean over 96 of them.
    """
    whole = trained(tmp_path / "a", torch.float32)
    mixed = trained(tmp_path / "b", torch.float32, precision="bfloat16")
    assert all(p.dtype == torch.float32 for p in mixed.flow.field.parameters())
    pairs = zip(whole.history.train, mixed.history.train, strict=True)
    differences = [abs(a[1] - b[1]) / a[1] for a, b in pairs]
    assert 0 < max(differences) < 0.02
    assert len(mixed.history.validation) == 2
