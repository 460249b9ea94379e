"""The main job end to end, small: train, resume, compare, report, sample, from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from precond_gm.cli import main
from precond_gm.training.job import Job
from precond_gm.training.reading import find_recipe, overrides_of, recipe_of
from precond_gm.training.results import Comparison

SMALL = (
    "max_steps=40",
    "checkpoint_every=10",
    "validate_every=10",
    "log_every=10",
    "batch_size=64",
    "num_samples=300",
    "sample_steps=[3,6]",
    "model_options={width: 32, depth: 1}",
)


def call(*words: str) -> Result:
    """Run a command in this process; stdout and stderr apart."""
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Train two variants with two seeds once, in an empty folder; what --json printed."""
    folder = tmp_path_factory.mktemp("job")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["train", "--recipe", "digits", "--variants", "identity,whiten", "--json", *SMALL]
        result = call(*words)
        assert result.exit_code == 0, result.output
        yield {"root": folder, "uri": f"sqlite:///{folder}/mlflow.db", **json.loads(result.stdout)}


def test_the_summary_says_where_everything_is(job: dict[str, Any]) -> None:
    """Oracle: the files that are there."""
    folder = job["root"] / job["folder"]
    assert folder.name == "digits-001"
    assert (job["root"] / job["report"]).exists()
    for name in ("recipe.yaml", "comparison.json", "tracking.json"):
        assert (folder / name).exists()
    comparison = Comparison.load(folder)
    assert [(r.variant, r.seed) for r in comparison.results] == [
        ("identity", 0),
        ("identity", 1),
        ("whiten", 0),
        ("whiten", 1),
    ]
    assert all(len(r.train_loss) == 4 for r in comparison.results)


def test_the_page_is_self_contained(job: dict[str, Any]) -> None:
    """Nothing is loaded from anywhere: every source is inside, and there is no script."""
    page = (job["root"] / job["report"]).read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert "<script" not in page
    assert page.index('class="verdict"') < page.index("<table>")
    assert "nan" not in re.sub(r'"data:[^"]*"', "", page).lower().split()


def test_mlflow_holds_the_job(job: dict[str, Any]) -> None:
    """Oracle: MLflow's own client. A parent, and a child for each variant and seed."""
    from mlflow import MlflowClient

    client = MlflowClient(job["uri"])
    experiment = client.get_experiment_by_name("digits")
    runs = client.search_runs([experiment.experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(runs) == 5
    assert len(children) == 4
    for run in children:
        assert run.info.status == "FINISHED"
        assert run.data.params["max_steps"] == "40"
        assert {"loss/train", "loss/validation", "recovery/low", "quality/w2_6"} <= set(
            run.data.metrics
        )
        assert len(client.get_metric_history(run.info.run_id, "loss/train")) == 4
    artifacts = {f.path for f in client.list_artifacts(job["tracking"]["run_id"])}
    assert {"report.html", "comparison.json", "figures", "recipe.yaml"} <= artifacts


def test_variants_of_a_seed_start_alike(job: dict[str, Any]) -> None:
    """The same seed gives the same first weights to every variant. Oracle: equality."""
    from precond_gm.checkpoint import load

    folder = job["root"] / job["folder"]
    one, two = (load(folder / v / "seed-0" / "start.pt") for v in ("identity", "whiten"))
    for a, b in zip(one.field.parameters(), two.field.parameters(), strict=True):
        assert torch.equal(a, b)


def test_compare_and_report_from_mlflow(job: dict[str, Any], tmp_path: Path) -> None:
    """Compare finds the same table; the page from MLflow equals the page from the folder."""
    found = call("compare", "digits", "--tracking-uri", job["uri"], "--json")
    assert json.loads(found.stdout)["table"] == job["table"]
    page = tmp_path / "again.html"
    result = call("report", "digits", "--out", str(page), "--tracking-uri", job["uri"])
    assert result.exit_code == 0, result.output
    assert page.stat().st_size == (job["root"] / job["report"]).stat().st_size


def test_samples_from_folder_and_from_mlflow_agree(job: dict[str, Any], tmp_path: Path) -> None:
    """One flow, two ways to it. Oracle: equality; units of the data, so within [0, 17] mostly."""
    comparison = Comparison.load(job["root"] / job["folder"])
    run = comparison.of("whiten")[0]
    sources = (str(job["root"] / job["folder"] / "whiten" / "seed-0"), str(run.run_id))
    rows = []
    for number, source in enumerate(sources):
        out = tmp_path / f"{number}.npz"
        words = ["sample", source, "--label", "3", "-n", "8", "--steps", "5", "--out", str(out)]
        result = call(*words, "--tracking-uri", job["uri"], "--image", str(tmp_path / "i.png"))
        assert result.exit_code == 0, result.output
        with np.load(out) as arrays:
            rows.append(arrays["x"])
            assert arrays["label"].tolist() == [3] * 8
    np.testing.assert_array_equal(rows[0], rows[1])
    assert rows[0].shape == (8, 1, 8, 8)
    assert (tmp_path / "i.png").stat().st_size > 1000


def test_resuming_a_finished_job_changes_nothing(job: dict[str, Any]) -> None:
    """Everything is there already: same table, no new run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(job["root"])
        words = ["train", "--recipe", "digits", "--variants", "identity,whiten", "--json"]
        again = call(*words, "--resume", *SMALL)
        assert again.exit_code == 0, again.output
        assert json.loads(again.stdout)["table"] == job["table"]
        changed = call(*words, "--resume", *SMALL, "lr=0.5")
    assert changed.exit_code == 2
    assert "lr: 0.001 -> 0.5" in changed.stderr


def test_metrics_that_waited_are_sent(job: dict[str, Any], tmp_path: Path) -> None:
    """What a dead store did not take arrives in the run it belongs to, once."""
    from mlflow import MlflowClient

    folder = job["root"] / job["folder"]
    spool = folder / "whiten" / "seed-1" / "metrics.jsonl"
    spool.write_text('["late/loss", 2.5, 1700000000000, 7]\n')
    words = ["report", str(folder), "--send", "--out", str(tmp_path / "r.html")]
    result = call(*words, "--tracking-uri", job["uri"])
    assert result.exit_code == 0, result.output
    assert "1 runs and 1 metrics sent" in result.stderr
    run = Comparison.load(folder).of("whiten")[1].run_id
    history = MlflowClient(job["uri"]).get_metric_history(run, "late/loss")
    assert [(m.value, m.step, m.timestamp) for m in history] == [(2.5, 7, 1700000000000)]
    assert not spool.exists()


def test_matching_parameters_widens_the_plain_network(tmp_path: Path) -> None:
    """The baseline gets the map's parameters. Oracle: counting both."""
    words = [*SMALL, "variants=identity,zuko.realnvp", "match=parameters", "fit_steps=5", "seeds=1"]
    recipe = recipe_of({**find_recipe("digits"), **overrides_of(words)})
    with Job(recipe, tmp_path / "j", tracking_uri="") as job:
        comparison = job.run()
    plain, mapped = (comparison.of(v)[0].metrics for v in ("identity", "zuko.realnvp"))
    total = mapped["parameters/map"] + mapped["parameters/network"]
    assert plain["parameters/network"] >= total
    assert plain["parameters/network"] < 1.05 * total


@pytest.mark.parametrize("name", ["mixture-bridge", "table"])
def test_recipes_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bridge with its Euler-Maruyama samples, and a table; digits is run above.

    Oracle: the parts that the recipe names, and figures that are finite.
    """
    monkeypatch.chdir(tmp_path)
    np.savetxt("t.csv", np.random.default_rng(0).normal(size=(90, 4)).round(3), delimiter=",")
    data = ["--data", "t.csv", "label=none"] if name == "table" else []
    short = [word for word in SMALL if "model" not in word]
    words = ["train", "--recipe", name, "--variants", "whiten", "--seeds", "1", "--no-tracking"]
    result = call(*words, *data, *short, "model_options={width: 16, depth: 1}")
    assert result.exit_code == 0, result.output
    found = Comparison.load(tmp_path / "runs" / f"{name}-001")
    assert found.recipe["path"] == ("brownian-bridge" if name == "mixture-bridge" else "linear")
    assert np.isfinite(found.results[0].metrics["quality/w2_6"])
    picture = call(
        "sample", f"runs/{name}-001/whiten/seed-0", "-n", "9", "--steps", "4", "--image", "s.png"
    )
    assert picture.exit_code == 0, picture.output
    assert (tmp_path / "s.png").stat().st_size > 1000


def test_a_model_is_registered_by_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    """Oracle: MLflow's registry, by name and version; the model predicts from there."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    words = ["train", "--recipe", "digits", "--variants", "whiten", "--seeds", "1", *SMALL]
    result = call(*words, "register=my-digits", "--tracking-uri", store)
    assert result.exit_code == 0, result.output
    versions = mlflow.MlflowClient(store).search_model_versions("name='my-digits'")
    assert [str(version.version) for version in versions] == ["1"]
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(store)
    try:
        model = mlflow.pyfunc.load_model("models:/my-digits/1")
    finally:
        mlflow.set_tracking_uri(before)
    assert model.predict(np.array([3, 7], dtype=np.int64), params={"steps": 2}).shape == (
        2,
        1,
        8,
        8,
    )
