"""The command line: lazy help, examples, and exit codes that say whose fault it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from precond_gm.cli import main
from precond_gm.cli.main import COMMANDS


def call(*words: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


def test_help_imports_nothing_heavy() -> None:
    """Neither torch nor mlflow nor matplotlib. Oracle: sys.modules of a fresh process."""
    code = (
        "import sys\nfrom precond_gm.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print([m for m in ('torch', 'mlflow', 'matplotlib', 'sklearn', 'numpy') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert all(name in done.stdout for name in COMMANDS)


def test_listing_names_loads_no_backend() -> None:
    """Names come from metadata. Oracle: sys.modules of a fresh process."""
    code = (
        "import sys\nfrom precond_gm.cli import main\n"
        "main(['list', '--names'], standalone_mode=False)\n"
        "print([m for m in ('torch', 'zuko', 'ot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert "zuko.realnvp" in done.stdout


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_an_example(name: str) -> None:
    """The promise of design.md; the list of commands is not empty."""
    shown = call(name, "--help")
    assert shown.exit_code == 0
    assert "Example:" in shown.output
    assert f"precond-gm {name}" in shown.output


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", "lrr=1"], 2, "Did you mean 'lr'"),
        (["train", "--recipe", "digitz"], 2, "Did you mean 'digits'"),
        (["train", "--max-steps", "x"], 2, "not a valid integer"),
        (["train", "--variants", "whitten", "--no-tracking"], 2, "Did you mean 'whiten'"),
        (["train", "--no-tracking", "prediction=drift"], 2, "drift"),
        (["train", "--resume", "name=never"], 2, "no job 'never'"),
        (["train", "--data", "digit"], 3, "Did you mean 'digits'"),
        (["diagnose", "--data", "missing.csv"], 3, "no file or folder 'missing.csv'"),
        (
            ["fit", "--preconditioner", "whiten:florr=1", "--data", "iris"],
            2,
            "has no option 'florr'",
        ),
        (["list", "couplin"], 2, "Did you mean 'coupling'"),
        (["advise", "--data", "iris", "--candidates", "whiten,nope"], 2, "called 'nope'"),
        (["fit", "--data", "iris", "--preconditioner", "whiten:form=x"], 2, "form is one of"),
        (["diagnose", "--data", "iris", "--couplings", "pot.sinkhorn:epsilon=-1"], 2, "above 0"),
        (["sample", "missing.pt"], 3, "there is no checkpoint"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_exit_codes_and_messages(
    words: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 for an argument, 3 for an input; the message is on stderr and nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    result = call(*words)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not result.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("empty.csv", "", 3, "is empty"),
        ("mixed.csv", "a,b\n1,2\n2,red\n", 3, "column 'b' is 'red'"),
        ("nan.csv", "a,b\n" + "1,2\n" * 9 + "1,nan\n", 3, "holds nan at row 9"),
        ("few.csv", "a,label\n" + "1.5,x\n2.5,x\n3.5,x\n" + "1,y\n", 3, "class 'y' of few has 1"),
        ("foreign.npz", "no zip", 3, "cannot be read"),
    ],
)
def test_broken_data(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: str,
    code: int,
    message: str,
) -> None:
    """Each is named; no job folder and no run is made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(content)
    result = call("train", "--data", name, "--no-tracking")
    assert (result.exit_code, message in result.stderr) == (code, True), result.output
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_warnings_are_lines_on_stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant feature and missing dequantisation are said, and the work is done."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).integers(0, 5, (60, 3))
    x[:, 1] = 2
    np.savez("x.npz", x=x)
    result = call("fit", "--preconditioner", "standardize", "--data", "x.npz", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["num_rows"] > 0
    raw = call("train", "--data", "x.npz", "--no-tracking", "dequantise=false", "max_steps=0")
    assert raw.exit_code == 2


def test_a_store_that_is_not_there_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Port 9 (discard) is closed on any sane machine."""
    monkeypatch.chdir(tmp_path)
    result = call("train", "--tracking-uri", "http://127.0.0.1:9", "max_steps=1")
    assert result.exit_code == 3
    assert "Start the server" in result.stderr


def test_diagnose_prints_one_line_per_variant() -> None:
    """Whitening is better than nothing on data made for it. Oracle: both figures in the JSON."""
    result = call("diagnose", "--data", "mixture", "--variants", "identity,whiten", "--json")
    found = json.loads(result.stdout)
    worst = {
        name: max(max(label["condition_number"]) for label in report["per_label"].values())
        for name, report in found.items()
    }
    assert worst["whiten"] < 1.5
    assert worst["identity"] > 100
    verdict, table = call("diagnose", "--data", "mixture").stdout.split("\n\n")
    assert verdict.startswith("identity: condition number")
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["identity", "whiten"]
