"""``precond-gm study``: the table, the files, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import precond_gm as pg
from precond_gm.cli import main
from precond_gm.report import read_sections

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
    assert result.output.index("Take ") < result.output.index("grid uniform")


def test_json_and_files(tmp_path: Path) -> None:
    """--json is one JSON value on stdout; --out writes JSON and figures."""
    result = run("--bridge", "point-mass", "--t-max", "0.9", "--early-stopping", "--json",
                 "--out", str(tmp_path), *SMALL)  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["study"]["steps"] == [4, 8, 16]
    assert len(found["early_stopping"]["delta"]) == 6
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*")} == {
        "study.html",
        *(f"{name}/{file}" for name in ("study", "early_stopping")
          for file in ("report.json", "figure.png", "section.json")),
    }  # fmt: skip


def test_promise_on_a_fresh_run() -> None:
    """--confirm runs the recommended steps on other noise. Oracle: the closed form at that number.

    The exact path KL of the unit bridge is (h - 1 + e^-h) / (2 h): 0.0249 at 10 steps.
    """
    result = run("--bridge", "gaussian", "--want", "path_kl=0.03", "--confirm", *SMALL)
    assert result.exit_code == 0, result.output
    assert "promise kept" in result.output


def test_flow_with_data(tmp_path: Path) -> None:
    """A run's folder meets the held-out part of the data; its study is kept there, as a section."""
    import numpy as np

    x = np.random.default_rng(0).normal(size=(1600, 2)).astype("float32")
    np.savez(tmp_path / "mine.npz", x=x)
    flow = pg.wrap(pg.models.MLP(2, width=8, depth=1), path="brownian-bridge")
    flow.fit_preconditioner(torch.as_tensor(x))
    pg.save(flow, tmp_path / "flow.pt")
    result = run("--run", str(tmp_path), "--data", str(tmp_path / "mine.npz"),
                 "--assumptions", "--t-max", "0.9", *SMALL)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "noise floor of held-out data" in result.output
    assert "H1: " in result.output
    kept = read_sections(tmp_path)
    assert {s.title.partition(":")[0] for s in kept} == {
        "How many sampling steps",
        "What the bounds assume",
    }
    page = (tmp_path / "study" / "study.html").read_text()
    assert page.index("How many sampling steps") < page.index("data:image/svg+xml")


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
