"""Pages of ``precond-gm diagnose``, of data and of a run: verdict first, numbers beside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from precond_gm.cli import main
from precond_gm.tracking.store import connect


def call(*words: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ten steps on iris, in its job's folder."""
    folder = tmp_path_factory.mktemp("jobs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["--data", "iris", "--variants", "whiten", "--seeds", "1", "--max-steps", "10"]
        settings = ["num_samples=60", "sample_steps=[4]", "batch_size=16", "name=tiny"]
        done = call("train", *words, "--no-tracking", *settings)
    assert done.exit_code == 0, done.output
    return next(folder.glob("**/flow.pt")).parent


def test_page_of_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict comes first in page and terminal; the page is self-contained; MLflow has all."""
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'store.db'}"
    done = call(
        "diagnose", "--data", "iris", "--times", "11", "--out", "page", "--tracking-uri", uri
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("identity: condition number")
    text = (tmp_path / "page" / "diagnosis.html").read_text()
    assert text.index("<h2>Verdict") < text.index("<h2>Condition number against t")
    assert "http://" not in text.replace("http://www.w3.org", "")
    numbers = json.loads((tmp_path / "page" / "diagnosis.json").read_text())
    assert len(numbers["identity"]["conditioning"]["t"]) == 11
    assert "<h2>What gradient descent learns first" in text
    values = {name: found["linear_descent"]["eigenvalues"] for name, found in numbers.items()}
    assert values["identity"][-1] / values["identity"][0] > 10
    assert values["whiten"][-1] / values["whiten"][0] < 10
    client = connect(uri)
    experiment = client.get_experiment_by_name("diagnose")
    runs = client.search_runs([experiment.experiment_id])
    logged = {run.info.run_name: run for run in runs}
    assert set(logged) == {"Diagnosis of iris", "identity", "whiten"}
    files = client.list_artifacts(logged["Diagnosis of iris"].info.run_id)
    assert {"diagnosis.html", "diagnosis.json"} <= {file.path for file in files}
    for name in ("identity", "whiten"):
        assert logged[name].data.metrics["conditioning/num_samples"] > 0
        assert logged[name].data.metrics["linear_descent/gap"] < 1


def test_page_of_a_run(run_folder: Path) -> None:
    """Data and split come from the run's own recipe; every section says how to read it."""
    page = run_folder / "diagnosis.html"
    done = call("diagnose", "--run", str(run_folder), "--times", "11", "--out", str(page))
    assert done.exit_code == 0, done.output
    assert "directions are proved under-fitted" in done.stdout
    text = page.read_text()
    for heading in ("What is under-fitted", "Variance recovered by direction", "Conditioning in z"):
        assert f"<h2>{heading}" in text
    numbers = json.loads(page.with_suffix(".json").read_text())
    assert set(numbers) == {"conditioning", "underfit", "quality"}


@pytest.mark.parametrize(
    ("words", "title"),
    [
        (["--couplings", "independent,ot"], "Couplings"),
        (["--objectives", "velocity,jit", "--batches", "8", "--train-steps", "5"], "Objectives"),
    ],
)
def test_every_comparison_has_a_page(words: list[str], title: str, run_folder: Path) -> None:
    """The same words as in the terminal; the data are those of the run if none are given."""
    page = run_folder / f"{title}.html"
    done = call("diagnose", "--run", str(run_folder), *words, "--out", str(page))
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(title)
    assert f"<h2>{title}" in page.read_text()
    assert page.with_suffix(".json").exists()


def test_a_variant_that_fails_costs_the_others_nothing(tmp_path: Path) -> None:
    """Normal rows are outside the domain of a logit: said, and not drawn."""
    np.savez(
        tmp_path / "few.npz",
        x=np.random.default_rng(0).normal(size=(18, 5)),
        label=np.arange(18) % 3,
    )
    words = ["diagnose", "--data", str(tmp_path / "few.npz"), "--variants"]
    done = call(*words, "identity,logit:low=0,high=1")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("identity: condition number")
    assert "is left out: " in done.stderr
    assert call(*words, "logit:low=0,high=1").exit_code == 3


def test_bits_are_kept_where_asked(tmp_path: Path) -> None:
    """A loss on bits can be compared on bits only."""
    x = np.random.default_rng(0).integers(0, 2, size=(300, 6))
    np.savez(tmp_path / "bits.npz", x=x)
    words = ["diagnose", "--data", str(tmp_path / "bits.npz"), "--variants", "identity"]
    words += ["--objectives", "x1//bce", "--batches", "8", "--train-steps", "2"]
    assert call(*words).exit_code == 3
    done = call(*words, "--no-dequantise", "--scale", "none")
    assert done.exit_code == 0, done.output
    assert "x1//bce" in done.stdout


def test_a_run_without_its_job_is_an_input_error(run_folder: Path, tmp_path: Path) -> None:
    """The message names what is missing."""
    (tmp_path / "flow.pt").write_bytes((run_folder / "flow.pt").read_bytes())
    done = call("diagnose", "--run", str(tmp_path))
    assert done.exit_code == 3
    assert "no recipe.yaml" in done.stderr


def test_neither_data_nor_run_is_an_argument_error() -> None:
    """Exit code 2, and what to give."""
    done = call("diagnose")
    assert done.exit_code == 2
    assert "give --data" in done.stderr
