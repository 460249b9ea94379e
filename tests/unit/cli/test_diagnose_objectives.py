"""``precond-gm diagnose --objectives``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import precond_gm as pg
from precond_gm.cli import main

WORDS = ["diagnose", "--data", "mixture", "--batches", "8", "--batch-size", "32"]


def test_objectives_are_compared_on_the_data(tmp_path: Path) -> None:
    """Oracle: every objective and its exchanged twins are listed, and intervals hold the figure."""
    image = tmp_path / "objectives.png"
    words = [*WORDS, "--train-steps", "2", "--exchange"]
    words += ["--objectives", "velocity,x1////beta:a=2,b=1", "--image", str(image)]
    text = CliRunner().invoke(main, words, catch_exceptions=False)
    assert text.exit_code == 0
    assert "x1////beta:a=2,b=1 [as weight]" in text.stdout
    assert "over 8 batches" in text.stdout
    assert image.stat().st_size > 1000
    found = json.loads(CliRunner().invoke(main, [*words, "--json"], catch_exceptions=False).stdout)
    assert len(found["names"]) == 3
    for low, middle, high in zip(found["low"], found["relative_noise"], found["high"], strict=True):
        assert low < middle < high


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("jti", "Did you mean 'jit'"),
        ("x1/velocty", "Did you mean 'velocity'"),
        ("x1///snrr", "Did you mean 'snr'"),
        ("a/b/c/d/e/f/g", "later ones optional"),
        ("x1/velocity////often", "is a number such as 0.05"),
        ("drift", "drift is not defined"),
    ],
)
def test_a_wrong_objective_is_a_wrong_argument(text: str, near: str) -> None:
    """Oracle: exit code 2 and what to write instead."""
    result = CliRunner().invoke(main, [*WORDS, "--train-steps", "0", "--objectives", text])
    assert result.exit_code == 2, result.output
    assert near in result.stderr


def test_a_trained_run_is_measured_as_it_is(tmp_path: Path) -> None:
    """Oracle: two runs are one too many, and one gives the same loss as its own file would."""
    flow = pg.wrap(pg.models.MLP(2, width=8, depth=1), event_shape=2)
    flow.fit_preconditioner(torch.randn(16, 2, generator=torch.Generator().manual_seed(0)))
    path = str(tmp_path / "flow.pt")
    pg.save(flow, path)
    words = [*WORDS, "--objectives", "velocity", "--run", path, "--json"]
    found = [
        json.loads(CliRunner().invoke(main, [*words, *more], catch_exceptions=False).stdout)
        for more in ([], ["--train-steps", "50"])
    ]
    assert found[0] == found[1]
    result = CliRunner().invoke(main, [*words, "--run", path])
    assert result.exit_code == 2
    assert "one run at a time" in result.output
