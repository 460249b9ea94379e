"""Every number of the theory of sampling error, to the digits in which it is printed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

STUDIES = Path(__file__).resolve().parents[3] / "benchmarks" / "studies"
sys.path.insert(0, str(STUDIES))  # the same table that the study prints
ROWS: list[Any] = importlib.import_module("theory_rows").rows()


def test_the_table_is_complete() -> None:
    """The section holds this many numbers. Oracle: counted by hand."""
    assert len(ROWS) >= 67


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_number(row: Any) -> None:
    """Oracle: the printed number. Tolerance: half a unit of its last digit."""
    value = float(row.compute())
    assert row.agrees(value), f"{row.name}: printed {row.expected}, got {value!r}"
