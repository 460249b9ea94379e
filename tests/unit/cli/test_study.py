"""``precond-gm study``: the table, the files, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import precond_gm as pg
from precond_gm.cli import main

SMALL = ["--steps", "4,8,16", "--samples", "128"]


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["study", *words])


def test_table_beside_exact_values() -> None:
    """Each grid has its table, with exact values and slopes. Oracle: the text asked for."""
    result = run("--bridge", "gaussian", "--variance", "0.05", "--grids",
                 "uniform,path-kl-optimal", "--want", "path_kl=0.3", *SMALL)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.output.count("exact") >= 2
    assert "slopes in h" in result.output
    assert "steps of the grid path-kl-optimal for path_kl <= 0.3" in result.output


def test_json_and_files(tmp_path: Path) -> None:
    """--json is one JSON value on stdout; --out writes JSON and figures."""
    result = run("--bridge", "point-mass", "--t-max", "0.9", "--early-stopping", "--json",
                 "--out", str(tmp_path), *SMALL)  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["study"]["steps"] == [4, 8, 16]
    assert len(found["early_stopping"]["delta"]) == 6
    assert {p.name for p in tmp_path.iterdir()} == {
        "study.json", "study.png", "early_stopping.json", "early_stopping.png",
    }  # fmt: skip


def test_flow_with_data(tmp_path: Path) -> None:
    """A saved flow meets the held-out part of the data, and the hypotheses are printed."""
    import numpy as np

    x = np.random.default_rng(0).normal(size=(1600, 2)).astype("float32")
    np.savez(tmp_path / "mine.npz", x=x)
    flow = pg.wrap(pg.models.MLP(2, width=8, depth=1), path="brownian-bridge")
    flow.fit_preconditioner(torch.as_tensor(x))
    pg.save(flow, tmp_path / "flow.pt")
    result = run("--flow", str(tmp_path / "flow.pt"), "--data", str(tmp_path / "mine.npz"),
                 "--assumptions", "--t-max", "0.9", *SMALL)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "noise floor of held-out data" in result.output
    assert "H1: " in result.output


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--bridge", "gaussian", "--flow", "x.pt"),
        ("--bridge", "gaussian", "--steps", "many"),
        ("--bridge", "gaussian", "--want", "w2=small"),
        ("--bridge", "gaussian", "--grids", "unifrom"),
        ("--bridge", "gaussian", "--assumptions", *SMALL),
    ],
)
def test_wrong_arguments(words: tuple[str, ...]) -> None:
    """A wrong argument ends with exit code 2 and a message."""
    result = run(*words)
    assert result.exit_code == 2, result.output


def test_missing_flow() -> None:
    """A flow that is not there ends with exit code 3."""
    assert run("--flow", "nowhere.pt").exit_code == 3
