"""The layers of the package hold, and the check that proves it can fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PLANTED = {
    "a lower layer imports a higher one": (
        "precond_gm/numerics/rows.py",
        "from precond_gm.flow import wrap as _planted\n",
        "the layers of the package",
    ),
    "a sibling imports a sibling": (
        "precond_gm/paths/linear.py",
        "from precond_gm.couplings.base import AbstractCoupling as _planted\n",
        "the layers of the package",
    ),
    "the core imports a plugin": (
        "precond_gm/preconditioners/identity.py",
        "import precond_gm_zuko as _planted\n",
        "the core imports no plugin",
    ),
}


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    path = os.pathsep.join([str(root), str(root / "plugins")])
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for folder in ("precond_gm", "plugins"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_layers_hold(checkout: Path) -> None:
    """Oracle: import-linter."""
    result = lint_imports(checkout)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_violation_is_caught(what: str, checkout: Path) -> None:
    """Oracle: import-linter, on a copy with one import too many; the contract is named."""
    file, line, contract = PLANTED[what]
    target = checkout / file
    text = target.read_text()
    target.write_text(
        text.replace(
            "from __future__ import annotations\n", f"from __future__ import annotations\n{line}"
        )
    )
    result = lint_imports(checkout)
    assert result.returncode != 0
    broken = [row for row in result.stdout.splitlines() if row.endswith("BROKEN")]
    assert any(contract in row for row in broken), result.stdout
