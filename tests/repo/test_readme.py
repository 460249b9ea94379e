"""What README shows runs, and its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.S)
COMMANDS = sorted(set(re.findall(r"precond-gm ([a-z]+)", README)))


@pytest.mark.parametrize("index", range(len(EXAMPLES)))
def test_python_examples_run(index: int, tmp_path: Path) -> None:
    """Each block is a program of its own. Oracle: its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLES[index]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_there_is_an_example_and_the_two_commands() -> None:
    """Oracle: the text."""
    assert EXAMPLES
    assert "make demo" in README
    assert "make test" in README


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist(command: str) -> None:
    """Every ``precond-gm ...`` that README names answers ``--help``."""
    program = Path(sys.executable).with_name("precond-gm")
    done = subprocess.run([program, command, "--help"], capture_output=True, check=False)
    assert done.returncode == 0
