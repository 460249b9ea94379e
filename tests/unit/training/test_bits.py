"""Binary data from the file to the judgement of samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from precond_gm.data import Prepared, ScaleKind, prepare
from precond_gm.data.records import RawData
from precond_gm.training.bits import bit_metrics


def raw(rows: int = 4000, bits: int = 4) -> RawData:
    draw = np.random.default_rng(0)
    x = draw.integers(0, 2, size=(rows, bits))
    x[:, 1] = x[:, 0]  # a pair of bits that always agree
    return RawData("bits", x.astype(np.int64))


def prepared() -> Prepared:
    return prepare(raw(), dequantise=False, scale=ScaleKind.NONE)


def rows(count: int, seed: int, agree: bool) -> Tensor:
    x = torch.randint(0, 2, (count, 4), generator=torch.Generator().manual_seed(seed)).float()
    if agree:
        x[:, 1] = x[:, 0]
    return x


def test_samples_are_judged_as_bits() -> None:
    """Oracle: independent bits lack one pair of six: KL log 2, pair error 1 / sqrt(6)."""
    data = prepared()
    right = bit_metrics(rows(4000, 1, True) + 0.1, data)
    wrong = bit_metrics(rows(4000, 1, False), data)
    # smoothing costs 0.01 at most, 8 states of 800 held-out rows 0.005 on average
    assert right["quality/bits_kl"] < 0.04
    assert wrong["quality/bits_kl"] == pytest.approx(np.log(2), abs=0.05)
    assert wrong["quality/pair_error"] == pytest.approx(6**-0.5, abs=0.03)
    assert right["quality/pair_error"] < 0.05
    assert right["floor/bits_kl"] < 0.04


def test_other_rows_are_left_alone() -> None:
    """Oracle: no metric for rows of more values, of one value, or of two features."""
    noisy = prepare(raw(), dequantise=True, scale=ScaleKind.NONE)
    assert bit_metrics(rows(50, 0, True), noisy) == {}
    few = prepare(raw(bits=2), dequantise=False, scale=ScaleKind.NONE)
    assert bit_metrics(rows(50, 0, True)[:, :2], few) == {}


def test_bits_made_continuous_are_said() -> None:
    """Oracle: the note names the settings that keep them; kept bits are not told to be noisy."""
    with pytest.warns(UserWarning, match="the rows are bits, made continuous"):
        noisy = prepare(raw())
    assert "dequantise=false scale=none prediction=x1 divergence=bce" in noisy.notes[0]
    assert prepared().notes == ()
