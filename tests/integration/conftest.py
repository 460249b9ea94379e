"""A tracking store whose tables are there already: making them takes most of a test's time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an SQLite file with MLflow's tables and nothing in them."""
    from precond_gm.tracking.store import connect

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> str:
    """Return the address of a store of the test's own."""
    shutil.copy(empty_store, tmp_path / "tracked.db")
    return f"sqlite:///{tmp_path / 'tracked.db'}"
