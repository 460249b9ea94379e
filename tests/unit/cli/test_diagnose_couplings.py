"""``precond-gm diagnose --couplings``."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

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
