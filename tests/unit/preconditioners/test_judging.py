"""What a fit says of itself: conditioning, round trips, and rows far out."""

from __future__ import annotations

from typing import final

import pytest
import torch
from torch import Tensor

from precond_gm.preconditioners import AbstractPreconditioner, Logit, Standardize, Whiten
from precond_gm.preconditioners.judging import condition_number, judge
from precond_gm.values import Batch, InverseKind, Transformed


@final
class Sloppy(AbstractPreconditioner):
    """The identity, whose inverse is off by a share of the row beyond a radius."""

    inverse_kind = InverseKind.CLOSED_FORM
    needs_fit = False
    tolerance = 1e-3

    def __init__(self, share: float, beyond: float) -> None:
        super().__init__()
        self.share, self.beyond = share, beyond

    def fit(self, *args: object, **kwargs: object) -> None:  # type: ignore[override]
        raise NotImplementedError

    def build(self, event_shape: tuple[int, ...], num_labels: int | None) -> None:
        self.event_shape = event_shape

    def forward(self, x: Tensor, label: Tensor | None = None) -> Transformed:
        return Transformed(x, x.new_zeros(x.shape[0]))

    def inverse(self, z: Tensor, label: Tensor | None = None) -> Transformed:
        off = (z.abs() > self.beyond) * self.share * z
        return Transformed(z + off, z.new_zeros(z.shape[0]))


@pytest.mark.parametrize(
    ("share", "beyond", "expected"),
    [
        (1e-4, 0.0, []),
        (5e-3, 0.0, ["round trip off by 0.005 of the largest |x|, more than the map's tolerance"]),
        (0.5, 30.0, ["rows 40 deviations out come back with an error of 0.5 of the largest |x|"]),
    ],
)
def test_round_trips_beyond_the_tolerance_are_said(
    share: float, beyond: float, expected: list[str]
) -> None:
    """Oracle: the error built in: its share, within the rows or beyond a radius only."""
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    notes = judge(Sloppy(share, beyond), Batch(x), num_rows=500, started=0.0).notes
    assert len(notes) == len(expected)
    assert all(note.startswith(text) for note, text in zip(notes, expected, strict=True))


@pytest.mark.parametrize("shape", [(64,), (1, 8, 8)])
def test_worse_conditioning_is_said_for_few_rows_of_many_features(shape: tuple[int, ...]) -> None:
    """Uniform features, and others that hug the ends of the interval, which the logit stretches.

    Oracle: the variances of the features, computed row by row in the test.
    """
    draw = torch.Generator().manual_seed(0)
    x = 0.5 + 0.1 * (torch.rand(400, 64, generator=draw, dtype=torch.float64) - 0.5)
    x[:, ::2] = 1e-4 + 0.1 * torch.rand(400, 32, generator=draw, dtype=torch.float64) ** 2
    x = x.reshape(-1, *shape)
    part = Logit(0, 1, eps=1e-5)
    report = part.fit(x)
    spread = part(x).value.flatten(1).var(0)
    before = x.flatten(1).var(0)
    assert spread.max() / spread.min() > 10 * before.max() / before.min()
    assert any("a lower bound" in note for note in report.notes)
    assert any("held-out conditioning got worse" in note for note in report.notes)


def test_chance_is_not_called_worse_conditioning() -> None:
    """White rows: nothing to gain, and sample eigenvalues differ. Oracle: no note, in 10 draws."""
    for seed in range(10):
        x = torch.randn(400, 64, generator=torch.Generator().manual_seed(seed))
        for part in (Whiten(), Standardize()):
            assert not any("got worse" in note for note in part.fit(x).notes)


def test_what_was_judged() -> None:
    """Oracle: the rows and features by the rule of 8 rows per feature."""
    x = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    label = (torch.arange(100) >= 40).long()
    whole = condition_number(x, label)
    assert (whole.rows, whole.features, whole.note) == (40, 4, None)
    assert whole.noise == pytest.approx(4 * (4 / 40) ** 0.5)
    few = condition_number(x[:24], label[:24])
    assert (few.rows, few.features) == (24, 3)
