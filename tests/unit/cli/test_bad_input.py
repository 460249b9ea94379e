"""Everything a user can get wrong, or a machine can: one message, an exit code, nothing lost."""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from precond_gm.cli import main

TINY = (
    "--variants",
    "identity",
    "--seeds",
    "1",
    "--max-steps",
    "20",
    "checkpoint_every=10",
    "num_samples=100",
    "sample_steps=[2]",
    "model=mlp",
    "model_options={width: 64, depth: 2}",
    "batch_size=32",
)


def call(*words: str) -> Result:
    """Run a command in this process; stdout and stderr apart."""
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


def train(*words: str) -> Result:
    """Train for a few steps without tracking."""
    return call("train", *TINY, "--no-tracking", *words)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a job once."""
    path = tmp_path_factory.mktemp("trained") / "job"
    result = train("--data", "iris", "--out", str(path))
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def job(trained: Path, folder: Path) -> Path:
    """A copy of the trained job, to be damaged: the folder ``job`` of the working folder."""
    return shutil.copytree(trained, folder / "job")


@pytest.fixture
def nobody(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of one's own, as a user whom permissions bind: root may do anything.

    A job was trained before, so that everything is imported: others may not read root's packages.
    """
    if os.geteuid() != 0:
        yield Path.cwd()
        return

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        monkeypatch.chdir(folder)
        os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)


def text(content: str) -> Callable[[Path], object]:
    """Return what writes a text."""
    return lambda path: path.write_text(content)


BROKEN: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "empty": ("a.csv", text(""), "a.csv is empty"),
    "no table": ("a.csv", lambda p: p.write_bytes(bytes(range(128, 256))), "is not text"),
    "cut npz": ("a.npz", text("PK\x03\x04 cut"), "a.npz cannot be read"),
    "cut idx": (
        "t10k-images-idx3-ubyte.gz",
        lambda p: p.write_bytes(gzip.compress(b"\0\0\x08\x03" + bytes(20))[:-3]),
        "cannot be read",
    ),
    "mixed dtypes": ("a.csv", text("a,b\n1,2\n2,red\n"), "line 3, column 'b' is 'red'"),
    "objects": (
        "a.npz",
        lambda p: np.savez(p, x=np.array([[1, "a"], [2, None]], dtype=object)),
        "a.npz cannot be read",
    ),
    "words": ("a.npz", lambda p: np.savez(p, x=np.array([["a", "b"]])), "numbers are needed"),
    "missing label": ("a.csv", text("a,label\n1.5,x\n2.5,\n"), "label of a is missing at row 1"),
    "too few labels": (
        "a.npz",
        lambda p: np.savez(p, x=np.random.rand(9, 2), y=np.zeros(8, int)),  # noqa: NPY002
        "have shape (8,), expected (9,)",
    ),
    "too small a class": (
        "a.csv",
        text("a,label\n1.5,x\n2.5,x\n3.5,x\n4.5,y\n"),
        "class 'y' of a has 1 rows; each class needs at least 3",
    ),
    "not a number": ("a.csv", text("1,2\n" * 9 + "1,nan\n"), "holds nan at row 9, feature (1,)"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_data_are_named(folder: Path, case: str) -> None:
    """Exit code 3, the fault and its place, and no job's folder is made."""
    name, write, message = BROKEN[case]
    write(folder / name)
    source = "." if "idx" in name else name
    result = train("--data", source, *(["label=none"] if "idx" in name else []))
    assert (result.exit_code, message in result.stderr) == (3, True), result.output
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize(
    ("label", "message"),
    [("quality", "has no column 'quality'"), ("lost.npy", "label file lost.npy does not exist")],
)
def test_labels_that_are_not_there(folder: Path, label: str, message: str) -> None:
    """A column or a file that was asked for and is not there; what there is is listed."""
    (folder / "a.csv").write_text("sugar,acid\n1,2\n3,4\n")
    result = train("--data", "a.csv", f"label={label}")
    assert (result.exit_code, message in result.stderr) == (3, True), result.output


def test_integers_without_dequantisation_and_a_constant_feature(folder: Path) -> None:
    """Both are said, with what to do; the job goes on to its end."""
    x = np.random.default_rng(0).integers(0, 5, (90, 3))
    x[:, 1] = 2
    np.savez(folder / "x.npz", x=x)
    result = train("--data", "x.npz", "dequantise=false")
    assert result.exit_code == 0, result.output
    assert "the rows are integers and are not dequantised" in result.stderr
    assert "1 features are constant over the training rows, at (1,)" in result.stderr
    assert "constant" in (folder / "runs" / "x-001" / "report.html").read_text()


def test_a_file_that_may_not_be_read(nobody: Path) -> None:
    """The system's own word, with the file."""
    path = nobody / "a.csv"
    path.write_text("1,2\n")
    path.chmod(0)
    result = train("--data", "a.csv")
    assert result.exit_code == 3
    assert "a.csv cannot be read: PermissionError" in result.stderr


def test_a_folder_that_may_not_be_written(nobody: Path) -> None:
    """Said with the folder, before anything is trained."""
    (nobody / "kept").mkdir(mode=0o500)
    result = train("--out", "kept/job")
    assert result.exit_code == 3
    assert "kept/job" in result.stderr
    assert "ermission" in result.stderr


def test_a_full_disk_keeps_the_last_checkpoint(folder: Path, job: Path) -> None:
    """The kernel refuses to write more bytes; afterwards the job is resumed to the same weights.

    Oracle: the run that had room. A bound on the size of files stands for a full disk.
    """
    run = job / "identity" / "seed-0"
    whole = torch.load(run / "flow.pt", weights_only=True)["base"]
    for name in ("result.json", "samples.npz", "flow.pt", "units.pt", "last.pt"):
        (run / name).unlink()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * (run / "start.pt").stat().st_size, hard))
    try:
        result = train("--data", "iris", "--out", "job", "--resume")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert result.exit_code == 3, result.output
    assert "cannot write job/identity/seed-0/last.pt" in result.stderr
    assert "free some space" in result.stderr
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]
    assert train("--data", "iris", "--out", "job", "--resume").exit_code == 0
    again = torch.load(run / "flow.pt", weights_only=True)["base"]
    assert all(torch.equal(whole[key], again[key]) for key in whole)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:2000]), "truncated or not a checkpoint"),
        (lambda p: torch.save({"state_dict": torch.zeros(3)}, p), "is not a precond_gm.training"),
        (lambda p: p.write_text("not torch"), "truncated or not a checkpoint"),
    ],
    ids=["truncated", "foreign", "text"],
)
def test_checkpoints_that_cannot_be_resumed(
    job: Path, damage: Callable[[Path], object], message: str
) -> None:
    """The file is named; nothing is trained on top of it, and it is not overwritten."""
    run = job / "identity" / "seed-0"
    (run / "result.json").unlink()
    damage(run / "last.pt")
    before = (run / "last.pt").read_bytes()
    result = train("--data", "iris", "--out", "job", "--resume")
    assert (result.exit_code, message in result.stderr) == (3, True), result.output
    assert (run / "last.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("lr: fast\n", "lr is a number; got 'fast'"),
        ("max_steps: [1, 2]\n", "max_steps is a whole number; got [1, 2]"),
        ("learning_rate: 1\n", "a recipe has no key 'learning_rate'"),
        ("- a\n- b\n", "holds list; a recipe is 'key: value' lines"),
        ("lr: [\n", "is not valid YAML"),
    ],
)
def test_recipes_that_are_wrong(folder: Path, content: str, message: str) -> None:
    """Exit code 2, the key, what was got and what is allowed."""
    (folder / "mine.yaml").write_text(content)
    result = call("train", "--recipe", "mine.yaml", "--no-tracking")
    assert (result.exit_code, message in result.stderr) == (2, True), result.output


def test_resuming_with_another_recipe_shows_the_difference(job: Path) -> None:
    """Every changed key with both values; nothing is changed in the folder."""
    result = train("--data", "iris", "--out", "job", "--resume", "lr=0.5", "clip=2")
    assert result.exit_code == 2
    assert "  lr: 0.001 -> 0.5\n  clip: 1.0 -> 2.0\n" in result.stderr


@pytest.mark.slow
def test_a_locked_database(folder: Path) -> None:
    """Another program holds the file; said after MLflow's own patience of seconds.

    Oracle: a lock taken by the standard library.
    """
    holder = sqlite3.connect(folder / "held.db", isolation_level=None)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    result = call("train", *TINY, "--data", "iris", "--tracking-uri", f"sqlite:///{folder}/held.db")
    holder.close()
    assert result.exit_code == 3, result.output
    assert "database is locked" in result.stderr
    assert not (folder / "runs").exists()


def test_a_server_that_is_not_there(folder: Path) -> None:
    """Said at once: MLflow's client would try for minutes. Port 9 (discard) is closed."""
    result = call("train", *TINY, "--data", "iris", "--tracking-uri", "http://127.0.0.1:9")
    assert result.exit_code == 3
    assert "http://127.0.0.1:9 cannot be used" in result.stderr
    assert "Start the server" in result.stderr
    assert not (folder / "runs").exists()
