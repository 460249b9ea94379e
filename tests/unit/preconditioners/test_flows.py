"""The maximum-likelihood loop, on a flow small enough to solve by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from precond_gm.errors import InvalidInputError
from precond_gm.preconditioners.flows import JUDGED_ROWS, STOPPING_ROWS, AbstractFlow
from precond_gm.preconditioners.judging import FAR_ROWS
from precond_gm.values import InverseKind, Transformed


@dataclass(eq=False, repr=False)
class Stretch(AbstractFlow):
    """``z = exp(a) u``: the likelihood is largest where the variance of z is one."""

    inverse_kind = InverseKind.CLOSED_FORM
    fails_after: int = 10**9

    def make(self, event_shape: tuple[int, ...], labels: int) -> nn.Module:
        self.calls = 0
        network = nn.Module()
        network.rate = nn.Parameter(torch.randn(()) + 1)
        return network

    def encode(self, rows: Tensor, context: Tensor | None) -> Transformed:
        self.calls += torch.is_grad_enabled()
        fails = torch.is_grad_enabled() and self.calls > self.fails_after
        rate = self.network.rate * (math.nan if fails else 1)
        log_det = rate.expand(rows.shape[0]) * rows[0].numel()
        return Transformed(rows * rate.exp(), log_det)

    def decode(self, rows: Tensor, context: Tensor | None) -> Transformed:
        rate = self.network.rate
        return Transformed(rows * (-rate).exp(), -rate.expand(rows.shape[0]) * rows[0].numel())


def rows(count: int = 2000) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return 3 * torch.randn(count, 2, generator=draw, dtype=torch.float64) + 1


def test_reaches_the_maximum_likelihood() -> None:
    """Oracle: the maximum of the likelihood in closed form, a = 0 behind whitening; 5 sigma."""
    part = Stretch(max_steps=400, learning_rate=2e-2)
    report = part.fit(rows())
    assert abs(float(part.network.rate)) < 5 / math.sqrt(2000 * 2)
    assert report.notes[0].startswith("best held-out loss at step")
    assert not part.network.rate.requires_grad


def test_stops_early() -> None:
    """Oracle: a flow at its optimum cannot improve; patience of 1 x 25 steps."""
    part = Stretch(max_steps=5000, learning_rate=2e-2, patience=1)
    assert part.fit(rows()).steps < 1500


def test_non_finite_fit_keeps_the_last_good_weights() -> None:
    """Oracle: the steps of failure and of the last evaluation before it; finite weights."""
    draw = torch.Generator().manual_seed(1)
    part = Stretch(fails_after=120, max_steps=400)
    report = part.fit(rows(), generator=draw)
    assert "stopped at step 120: the loss was not finite" in report.notes
    assert "best held-out loss at step 100 of 120" in report.notes
    assert math.isfinite(report.log_likelihood)
    assert bool(torch.isfinite(part.network.rate))


def test_time_ends_a_fit_with_the_best_weights() -> None:
    """Oracle: one step in no time at all, said in the notes, and still judged."""
    part = Stretch(max_steps=400, max_seconds=0.0)
    report = part.fit(rows())
    assert report.steps == 1
    assert "stopped at step 1: 0 s had passed" in report.notes
    assert math.isfinite(report.log_likelihood)


def test_held_out_rows_are_bounded() -> None:
    """Oracle: rows that run through the flow without gradients in a fit that takes no step."""
    part, seen = Stretch(max_steps=0), []
    encode = Stretch.encode

    def counted(self: Stretch, rows: Tensor, context: Tensor | None) -> Transformed:
        seen.append(rows.shape[0])
        return encode(self, rows, context)

    part.encode = counted.__get__(part)  # type: ignore[method-assign]
    part.fit(rows(100_000), torch.arange(100_000) // 50_000)
    assert sum(seen) == STOPPING_ROWS + JUDGED_ROWS + FAR_ROWS


def test_same_seed_same_map_and_global_state_untouched() -> None:
    """Oracle: equality, bit for bit, and the global generator's state."""
    before = torch.get_rng_state()
    rates = []
    for seed in (1, 1, 2):
        part = Stretch(max_steps=20)
        part.fit(rows(), generator=torch.Generator().manual_seed(seed))
        rates.append(float(part.network.rate))
    assert rates[0] == rates[1] != rates[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_stream_is_read_once_and_labels_checked() -> None:
    """Oracle: the number of rows, and the message."""
    x = rows(200)
    part = Stretch(max_steps=5)
    report = part.fit(iter(x.split(37)))
    assert 150 < report.num_rows < 200
    with pytest.raises(InvalidInputError, match="label is 9 at row 0"):
        part.fit(x, torch.full((200,), 9), num_labels=3)
    with pytest.raises(InvalidInputError, match="read only once"):
        part.fit(iter([]))


def test_flow_in_front_of_a_flow_is_refused() -> None:
    """Oracle: the message names the chain."""
    with pytest.raises(InvalidInputError, match="in a chain"):
        Stretch(scaling="zuko.realnvp").fit(rows(50))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_fit_turns_gradients_on(mode: type) -> None:
    """Oracle: the map of a fit outside, bit for bit; the caller's mode comes back."""
    expected = Stretch(max_steps=30)
    expected.fit(rows())
    part = Stretch(max_steps=30)
    with mode():
        part.fit(rows())
        assert not torch.is_grad_enabled()
    assert float(part.network.rate) == float(expected.network.rate)
