"""Saving and loading: equal results, no code from files, and clear errors."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import precond_gm as pg
from precond_gm.checkpoint import read_state, write_state
from precond_gm.errors import CheckpointError
from precond_gm.paths import AbstractPath, Interpolant, VariancePreserving, Warped


def trained(preconditioner: object = "whiten") -> pg.PreconditionedFlow:
    torch.manual_seed(0)
    flow = pg.wrap(
        pg.models.MLP(2, num_labels=2, width=8),
        preconditioner=preconditioner,
        path=("brownian-bridge", {"sigma": 1.0}),
        num_labels=2,
    )
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([9.0, 0.1])
    flow.fit_preconditioner(x, torch.arange(64) % 2)
    return flow


def drawn(flow: pg.PreconditionedFlow) -> torch.Tensor:
    return flow.sample(6, steps=3, generator=torch.Generator().manual_seed(1)).x


@pytest.mark.parametrize("preconditioner", ["identity", "whiten", ["standardize", "whiten"]])
def test_a_loaded_flow_samples_the_same(tmp_path: Path, preconditioner: object) -> None:
    """Oracle: samples of the flow that was saved; bit-equal."""
    flow = trained(preconditioner)
    pg.save(flow, tmp_path / "flow.pt")
    assert torch.equal(drawn(pg.load(tmp_path / "flow.pt")), drawn(flow))


@pytest.mark.parametrize("path", pg.paths.REGISTRY.names())
def test_every_path_is_saved_with_its_options(tmp_path: Path, path: str) -> None:
    """Its defaults too, whatever they are. Oracle: the path and the samples, bit-equal."""
    flow = pg.wrap(pg.models.MLP(2, width=8), path=path, event_shape=(2,))
    pg.save(flow, tmp_path / "flow.pt")
    other = pg.load(tmp_path / "flow.pt")
    assert other.path == flow.path
    assert torch.equal(drawn(other), drawn(flow))


@pytest.mark.parametrize(
    ("path", "option"),
    [
        (Warped(lambda t: t**2), "schedule"),
        (VariancePreserving(signal=torch.square), "signal"),
        (Interpolant(alpha=lambda t: (1 - t) ** 2), "alpha"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_function_is_given_again(tmp_path: Path, path: AbstractPath, option: str) -> None:
    """No function is pickled, even one that could be. Oracle: the text, then bit-equal samples."""
    flow = pg.wrap(pg.models.MLP(2, width=8), path=path, event_shape=(2,))
    pg.save(flow, tmp_path / "flow.pt")
    text = rf"path \({type(path).__name__} has the option '{option}', a function.*path=\.\.\."
    with pytest.raises(CheckpointError, match=text):
        pg.load(tmp_path / "flow.pt")
    assert torch.equal(drawn(pg.load(tmp_path / "flow.pt", path=path)), drawn(flow))


def test_numbers_of_numpy_become_plain_ones(tmp_path: Path) -> None:
    """A numpy scalar is pickled as code. Oracle: the number."""
    path = ("brownian-bridge", {"sigma": np.float64(0.5)})
    flow = pg.wrap(pg.models.MLP(2, width=8), path=path, event_shape=(np.int64(2),))
    pg.save(flow, tmp_path / "flow.pt")
    assert pg.load(tmp_path / "flow.pt").path.diffusion == 0.5


@pytest.mark.parametrize("value", [lambda: 0, os.mkdir], ids=["not pickled", "pickled as code"])
def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, value: object) -> None:
    """Such a file was found out only on loading. Oracle: the text; the old content is kept."""
    file = tmp_path / "state.pt"
    write_state({"format": "x", "version": 1, "value": 1}, file)
    with pytest.raises(CheckpointError, match=r"tensors and plain values.*functions.*out"):
        write_state({"format": "x", "version": 1, "value": value}, file, verify=True)
    assert read_state(file, "x")["value"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_a_network_of_the_user_is_passed_to_load(tmp_path: Path) -> None:
    """Its class is not in the file, only its weights. Oracle: bit-equal samples."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return self.layer(x)

    flow = pg.wrap(Net(), event_shape=(2,))
    pg.save(flow, tmp_path / "flow.pt")
    with pytest.raises(CheckpointError, match=r"pg\.load\(file, model\)"):
        pg.load(tmp_path / "flow.pt")
    assert torch.equal(drawn(pg.load(tmp_path / "flow.pt", Net())), drawn(flow))
    with pytest.raises(CheckpointError, match="does not fit"):
        pg.load(tmp_path / "flow.pt", nn.Bilinear(2, 1, 2), call=lambda m, t, z, y: z)


def test_loading_never_runs_code(tmp_path: Path) -> None:
    """A pickle that would write a file on loading. Oracle: the file is not there."""

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "owned"),)

    torch.save({"format": "precond_gm.flow", "version": 1, "base": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        pg.load(tmp_path / "evil.pt")
    assert not (tmp_path / "owned").exists()


def test_truncated_foreign_missing_and_newer_files(tmp_path: Path) -> None:
    """Each says what it is."""
    file = tmp_path / "flow.pt"
    pg.save(trained(), file)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="truncated"):
        pg.load(file)
    torch.save({"weight": torch.ones(1)}, file)
    with pytest.raises(CheckpointError, match="load_base"):
        pg.load(file)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        pg.load(tmp_path / "absent.pt")
    write_state({"format": "precond_gm.flow", "version": 99}, file)
    with pytest.raises(CheckpointError, match="version 99"):
        pg.load(file)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills while writing. Oracle: the old content; no temporary file is left."""
    file = tmp_path / "state.pt"
    write_state({"format": "x", "version": 1, "value": 1}, file)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match="No space left"):
        write_state({"format": "x", "version": 1, "value": 2}, file)
    assert read_state(file, "x")["value"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]
