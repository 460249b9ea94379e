"""``precond-gm fit`` and ``precond-gm list``: what they print and draw."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from click.testing import CliRunner

from precond_gm.cli import main
from precond_gm.preconditioners import REGISTRY


def test_fit_draws_and_saves(tmp_path: Path) -> None:
    """Oracle: the condition number falls on data made for it; the state loads into a new map."""
    image, state = tmp_path / "a.png", tmp_path / "map.pt"
    words = ["fit", "--data", "mixture", "--preconditioner", "whiten"]
    done = CliRunner().invoke(main, [*words, "--image", str(image), "--out", str(state), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["effect/before"] > 100
    assert found["effect/after"] < 2
    assert found["rows_outside"] == 0
    assert image.read_bytes()[:4] == b"\x89PNG"
    part = REGISTRY.create("whiten")
    part.build((2,), 3)
    part.load_state_dict(torch.load(state, weights_only=True)["state"])
    text = CliRunner().invoke(main, words).stdout
    assert "condition number, label" in text


def test_fit_asks_for_a_preconditioner() -> None:
    """Oracle: the exit code of a wrong argument."""
    assert CliRunner().invoke(main, ["fit", "--data", "iris"]).exit_code == 2


def test_every_preconditioner_states_inverse_cost_and_effect() -> None:
    """Oracle: none of the statements is empty, and a numerical inverse states its tolerance."""
    done = CliRunner().invoke(main, ["list", "preconditioners", "--json"])
    found = json.loads(done.stdout)["preconditioner"]
    assert set(found) == set(REGISTRY.names())
    for name, said in found.items():
        assert all(said[key] for key in ("summary", "source", "inverse", "cost", "conditioning")), (
            name
        )
        assert said["inverse"].startswith(("closed-form, ", "numerical, to "))
        assert "options" in said
