"""What the tree and the wheel may hold, and what an import may load."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_folder_mlflow_holds_no_python() -> None:
    """With a Python file there, the folder would hide the real package."""
    assert list((ROOT / "mlflow").rglob("*.py")) == []


def test_mlflow_at_the_root_is_the_real_one() -> None:
    """Oracle: where Python finds it when started at the root."""
    code = "import mlflow; print(mlflow.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "site-packages" in done.stdout


def test_import_is_light() -> None:
    """The top of the package loads no backend. Oracle: sys.modules of a fresh process."""
    heavy = ["torch", "mlflow", "matplotlib", "sklearn", "ot", "zuko", "normflows", "pandas"]
    code = (
        f"import sys, precond_gm, precond_gm.cli; print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_core_loads_no_optional_backend() -> None:
    """Wrapping with parts of the core imports neither plugins' backends nor mlflow."""
    heavy = ["mlflow", "matplotlib", "sklearn", "ot", "zuko", "normflows"]
    code = (
        "import sys, precond_gm as pg; pg.wrap(pg.models.MLP(2), preconditioner='whiten');"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_is_a_catch_all() -> None:
    """Short files, one idea each. Oracle: line counts."""
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("precond_gm", "plugins")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 350
    }
    assert long == {}


def test_every_benchmark_is_in_the_list() -> None:
    """Oracle: the scripts that can be run, and the links of the list."""
    folder = ROOT / "benchmarks"
    linked = set(re.findall(r"\]\(([^)]+)\)", (folder / "README.md").read_text()))
    scripts = {
        f"{kind}/{path.name}"
        for kind in ("speed", "studies")
        for path in (folder / kind).glob("*.py")
        if "__main__" in path.read_text()
    }
    assert linked == scripts


@pytest.mark.slow
def test_wheel_holds_the_package_and_the_plugins_only(tmp_path: Path) -> None:
    """Oracle: the list of top-level folders in the built wheel, against pyproject.toml."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    expected = {Path(package).name for package in packages}
    info = {top for top in tops if top.endswith(".dist-info")}
    assert tops - info == expected
    assert "precond_gm/report/templates/comparison.html.j2" in names
    assert "precond_gm/training/recipes/digits.yaml" in names
