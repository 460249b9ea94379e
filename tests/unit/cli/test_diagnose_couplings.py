"""``precond-gm diagnose --couplings``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from click.testing import CliRunner

import precond_gm as pg
from precond_gm.cli import main


def test_couplings_are_compared_on_the_data(tmp_path: Path) -> None:
    """Oracle: the exact coupling reaches the optimum that its report states."""
    image = tmp_path / "couplings.png"
    words = ["diagnose", "--data", "mixture", "--couplings", "independent,ot"]
    options = ["--batch-size", "64", "--image", str(image)]
    text = CliRunner().invoke(main, [*words, *options], catch_exceptions=False)
    assert text.exit_code == 0
    assert "optimum" in text.stdout
    assert "ot: " in text.stdout
    assert image.stat().st_size > 1000
    found = json.loads(CliRunner().invoke(main, [*words, "--json"], catch_exceptions=False).stdout)
    assert set(found) == {"independent", "ot"}
    exact = found["ot"]
    assert abs(exact["cost_after"] / exact["cost_optimum"] - 1) < 1e-6


def test_an_unknown_coupling_is_a_wrong_argument() -> None:
    """Oracle: exit code 2 and the nearest names."""
    words = ["diagnose", "--data", "mixture", "--couplings", "pot.exat"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, result.output
    assert "pot.exact" in result.stderr


def test_a_run_states_the_curvature_of_its_paths(tmp_path: Path) -> None:
    """Oracle: a field that is constant has straight paths; a bridge with transport has an SDE only.

    Fitted couplings say on how many rows they were fitted.
    """
    runs: list[str] = []
    for name, path in (("straight", "linear"), ("sde", "brownian-bridge")):
        network = pg.models.MLP(2, width=8, depth=1)
        *others, last_bias = network.parameters()
        with torch.no_grad():
            for weight in others:
                weight.zero_()
            last_bias.fill_(1.0)
        flow = pg.wrap(network, coupling="ot", path=path, event_shape=(2,))
        flow.fit_preconditioner(torch.randn(16, 2, generator=torch.Generator().manual_seed(0)))
        runs += ["--run", str(tmp_path / f"{name}.pt")]
        pg.save(flow, runs[-1])
    words = ["diagnose", "--data", "mixture", "--couplings", "ot,pot.semidiscrete:steps=5", *runs]
    result = CliRunner().invoke(main, [*words, "--batch-size", "32"], catch_exceptions=False)
    assert result.exit_code == 0
    found = re.search(r"straight.pt: learned with ot, curvature of its paths (\S+)", result.stdout)
    assert found is not None
    assert float(found[1]) < 1e-6
    assert "sde.pt: learned with ot, curvature of its paths not defined" in result.stdout
    assert "fit pot.semidiscrete:steps=5 to" in result.stderr
