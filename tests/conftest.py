"""Fixtures for every test: the device, real data where it is there, one thread, no telemetry."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
torch.set_num_threads(1)  # the machine has few cores and the tests run side by side


@pytest.fixture
def device() -> torch.device:
    """CUDA when there is one, so that every test of a formula runs there as well."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded source of randomness, local to one test."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the checkout; skips where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/data is absent")
    return folder
