"""Splitting, dequantising and scaling: what may and may not depend on which rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from precond_gm.data import RawData, ScaleKind, prepare
from precond_gm.data.split import split_rows
from precond_gm.errors import DataError

FRACTIONS = (0.7, 0.1, 0.2)


def table(rows: int = 200, labels: int = 4) -> RawData:
    generator = np.random.default_rng(0)
    x = generator.normal(3.0, 5.0, (rows, 3))
    return RawData("t", x, np.arange(rows) % labels, tuple("abcdefgh"[:labels]))


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(30, 300), labels=st.integers(1, 5), seed=st.integers(0, 9))
def test_split_is_a_partition_with_every_class_everywhere(
    rows: int, labels: int, seed: int
) -> None:
    """Oracle: set algebra on row numbers; the same seed gives the same split."""
    raw = table(rows, labels)
    parts = split_rows(raw, FRACTIONS, seed)
    joined = np.concatenate(list(parts.values()))
    assert sorted(joined.tolist()) == list(range(rows))
    assert raw.label is not None
    for part in parts.values():
        assert set(raw.label[part]) == set(range(labels))
    again = split_rows(raw, FRACTIONS, seed)
    assert all(np.array_equal(parts[k], again[k]) for k in parts)


def test_own_test_rows_stay_the_test_part() -> None:
    """Rows that the source calls test are never trained on."""
    raw = dataclasses.replace(table(), num_test=50)
    parts = split_rows(raw, FRACTIONS, 0)
    assert sorted(parts["test"].tolist()) == list(range(150, 200))


def test_small_class_is_named() -> None:
    """A class of two rows cannot be in three parts."""
    raw = RawData("t", np.random.rand(12, 2), np.array([0] * 10 + [1] * 2), ("x", "y"))  # noqa: NPY002
    with pytest.raises(DataError, match="class 'y' of t has 2 rows"):
        prepare(raw)


def test_statistics_come_from_training_rows_alone() -> None:
    """Changing test rows changes nothing about training rows. Oracle: equality."""
    raw = table()
    test = split_rows(raw, FRACTIONS, 0)["test"]
    other = raw.x.copy()
    other[test] *= 1000
    one = prepare(raw)
    two = prepare(dataclasses.replace(raw, x=other))
    torch.testing.assert_close(one.train.x, two.train.x, rtol=0, atol=0)
    torch.testing.assert_close(one.scaling.shift, two.scaling.shift, rtol=0, atol=0)


@pytest.mark.parametrize("kind", list(ScaleKind))
def test_scaling_is_undone(kind: ScaleKind) -> None:
    """Oracle: the raw rows. Tolerance: float32 rounding at their size."""
    raw = dataclasses.replace(table(), value_range=(-20.0, 30.0))
    found = prepare(raw, scale=kind)
    back = found.scaling.undo(found.train.x)
    index = split_rows(raw, FRACTIONS, 0)["train"]
    np.testing.assert_allclose(back.numpy(), raw.x[index], atol=1e-5)


def test_features_have_mean_zero_and_deviation_one() -> None:
    """Oracle: the definition, on training rows. Tolerance: float32 sums over 140 rows."""
    x = prepare(table(), scale=ScaleKind.FEATURES).train.x
    torch.testing.assert_close(x.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_global_scaling_keeps_the_condition_number() -> None:
    """One factor for all features leaves the ratio of eigenvalues. Tolerance: float32."""
    raw = table()
    x = prepare(raw, scale=ScaleKind.GLOBAL).train.x.double().numpy()
    train = raw.x[split_rows(raw, FRACTIONS, 0)["train"]]
    assert np.linalg.cond(np.cov(x.T)) == pytest.approx(np.linalg.cond(np.cov(train.T)), rel=1e-4)


def test_integers_are_dequantised_within_their_cell() -> None:
    """Oracle: floor of the raw value is the integer; the range maps into [-1, 1]."""
    x = np.random.default_rng(0).integers(0, 17, (60, 1, 4, 4))
    raw = RawData("pixels", x, value_range=(0.0, 16.0))
    found = prepare(raw)
    index = split_rows(raw, FRACTIONS, 0)["train"]
    assert float(found.train.x.abs().max()) <= 1
    back = found.scaling.undo(found.train.x).double().numpy()
    assert np.mean(np.floor(back) == x[index]) > 0.999  # a value within rounding of its edge
    with pytest.warns(UserWarning, match="dequantise=true"):
        prepare(raw, dequantise=False)


def test_constant_feature_is_said_and_handled() -> None:
    """Division by a deviation of zero would give NaN."""
    raw = table()
    raw.x[:, 1] = 4.0
    with pytest.warns(UserWarning, match="1 features are constant"):
        found = prepare(raw)
    assert bool(torch.isfinite(found.train.x).all())


def test_nan_is_named_by_row_of_the_file() -> None:
    """The position is the one in the source, not the one after shuffling."""
    raw = table()
    raw.x[17, 2] = np.nan
    with pytest.raises(DataError, match=r"holds nan at row 17, feature \(2,\)"):
        prepare(raw)


def test_stored_rows_equal_rows_in_memory(tmp_path: Path) -> None:
    """Streaming changes where rows are, not what they are. Oracle: equality."""
    inside, outside = prepare(table()), prepare(table(), store=tmp_path / "rows.npy")
    torch.testing.assert_close(inside.train.x, outside.train.x, rtol=0, atol=0)
    assert (tmp_path / "rows.npy").stat().st_size > 200 * 3 * 4
