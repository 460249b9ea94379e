"""The page on extending runs as it is written, and the template installs and is found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def test_examples_of_the_page_run() -> None:
    """Oracle: the contract checks that the examples themselves call."""
    from precond_gm.preconditioners import REGISTRY

    page = (ROOT / "plugins" / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) >= 7
    names: dict[str, object] = {"__name__": "extending"}
    try:
        for block in blocks:
            exec(compile(block, "plugins/README.md", "exec", dont_inherit=True), names)
    finally:
        REGISTRY._registered.pop("mine.stretch", None)


@pytest.mark.slow
def test_template_installs_and_is_found(tmp_path: Path) -> None:
    """Oracle: its own contract test, in a process that sees the scratch installation only."""
    template = ROOT / "plugins" / "_template"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(tmp_path), str(template)], check=True, timeout=300)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    test = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
    ]
    done = subprocess.run(
        [*test, str(template / "tests")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[100%]" in done.stdout
