"""Results on disk, and the average of weights."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import torch

import precond_gm as pg
from precond_gm.errors import CheckpointError
from precond_gm.training.average import Average
from precond_gm.training.results import RunResult, write_text


def result() -> RunResult:
    """Return a small result with an infinite and a missing figure."""
    return RunResult(
        variant="whiten/ot",
        seed=1,
        steps=10,
        metrics={"quality/energy": 0.5, "conditioning/label_max": float("inf")},
        train_loss=[[10, 1.5]],
        validation_loss=[],
        conditioning={"t": [0.0, 1.0], "pooled": [1.0, 2.0], "labels": {}, "spectrum": [1.0]},
        recovery={"eigenvalue": [1.0], "ratio": [1.1], "lower": [1.0], "upper": [1.2]},
        fit={"seconds": 0.1},
        samples=np.zeros((2, 1, 4, 4), dtype=np.float32),
        sample_label=np.array([0, 1]),
    )


def test_results_survive_writing(tmp_path: Path) -> None:
    """Oracle: the record before; infinity is a word in JSON and is read back as one."""
    result().save(tmp_path)
    again = RunResult.load(tmp_path)
    assert again.metrics["quality/energy"] == 0.5
    assert float(again.metrics["conditioning/label_max"]) == float("inf")
    assert again.train_loss == [[10, 1.5]]
    np.testing.assert_array_equal(again.samples, result().samples)


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    """Half a file is not a result."""
    result().save(tmp_path)
    path = tmp_path / "result.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(CheckpointError, match=r"result\.json is missing or damaged"):
        RunResult.load(tmp_path)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the content before. No temporary file stays."""
    path = tmp_path / "a.json"
    write_text(path, "old")

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_average_follows_its_recursion() -> None:
    """Oracle: the recursion with the rising decay, in float64, over a moving weight."""
    flow = pg.wrap(torch.nn.Bilinear(2, 1, 2).double(), call=lambda m, t, z, y: m(z, t[:, None]))
    average = Average(flow, 0.9)
    weight = flow.field.model.weight
    expected = weight.detach().clone()
    for step in range(1, 20):
        with torch.no_grad():
            weight.add_(0.1 * step)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach()
    found = average.flow.field.model.weight
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert average.flow.preconditioner is flow.preconditioner
    assert not found.requires_grad
