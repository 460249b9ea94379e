"""The tracker against a real SQLite store, a store that dies, and one that is not there."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from precond_gm.closed_form import GaussianBridge
from precond_gm.diagnostics import step_size
from precond_gm.errors import TrackingError
from precond_gm.preconditioners.base import FitReport
from precond_gm.tracking import MlflowTracker
from precond_gm.tracking.buffer import MetricBuffer, read_spool
from precond_gm.tracking.reading import find_job
from precond_gm.tracking.tracker import metric_name


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One store for all tests of the file: making its tables takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    address = f"sqlite:///{folder / 'mlflow.db'}"
    with MlflowTracker("warm", tracking_uri=address) as tracker:
        tracker.client.create_experiment("shared", artifact_location=str(folder / "artifacts"))
    return address


def test_parameters_metrics_and_artifacts_arrive(uri: str) -> None:
    """Oracle: what MLflow's own client reads back."""
    report = FitReport("whiten", 10, 0, 0.1, -3.0, 100.0, 1.5, 1e-7)
    with MlflowTracker("shared", tracking_uri=uri, run_name="one") as tracker:
        tracker.log_params({"width": 256, "variants": ["a", "b"]})
        tracker.log_params({"width": 256})  # again, as after a resume
        for step in range(3):
            tracker.log_metrics({"loss/train (a)": 1.0 / (step + 1)}, step)
        tracker.log_report(report)
    run = tracker.client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"width": "256", "variants": '["a", "b"]'}
    history = tracker.client.get_metric_history(tracker.run_id, "loss/train -a-")
    assert [(m.step, m.value) for m in history] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert run.data.metrics["fit/condition_after"] == 1.5
    names = {f.path for f in tracker.client.list_artifacts(tracker.run_id, "reports")}
    assert names == {"reports/FitReport.json", "reports/FitReport.png"}


def test_series_have_their_own_axis(uri: str) -> None:
    """Errors of a study stand at their numbers of sampling steps. Oracle: MLflow's own client."""
    unit = GaussianBridge(0.0, 1.0, 0.0, 1.0)
    report = step_size(unit, steps=(4, 8), num_samples=64)
    with MlflowTracker("shared", tracking_uri=uri) as tracker:
        tracker.log_report(report, "study", step=3)
    history = tracker.client.get_metric_history(tracker.run_id, "step_size/path_kl")
    assert report.path_kl is not None
    assert [(m.step, m.value) for m in history] == list(
        zip((4, 8), report.path_kl.tolist(), strict=True)
    )


def test_children_and_resumed_runs(uri: str) -> None:
    """A child is nested; a run that is entered again keeps its id and its metrics."""
    with MlflowTracker("shared", tracking_uri=uri) as parent, parent.child("c") as child:
        child.log_metrics({"a": 1.0}, 0)
    tags = parent.client.get_run(child.run_id).data.tags
    assert tags["mlflow.parentRunId"] == parent.run_id
    with MlflowTracker("shared", tracking_uri=uri, run_id=parent.run_id) as again:
        assert again.run_id == parent.run_id


def test_failure_is_recorded(uri: str) -> None:
    """A run that ends by an error is FAILED, not FINISHED."""
    tracker = MlflowTracker("shared", tracking_uri=uri)
    with pytest.raises(ZeroDivisionError), tracker:
        raise ZeroDivisionError
    assert tracker.client.get_run(tracker.run_id).info.status == "FAILED"


def test_infinity_does_not_become_a_number_of_the_store(uri: str) -> None:
    """SQLite would turn it into the largest double; ours is bounded, NaN is kept."""
    with MlflowTracker("shared", tracking_uri=uri) as tracker:
        tracker.log_metrics({"inf": math.inf, "nan": math.nan}, 0)
    metrics = tracker.client.get_run(tracker.run_id).data.metrics
    assert metrics["inf"] == 1e300
    assert math.isnan(metrics["nan"])


def test_a_server_that_is_not_there_is_said_at_once() -> None:
    """MLflow's client would retry for minutes. The port is free because we just held it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(TrackingError, match=r"cannot be used.*Start the server"):
        MlflowTracker("x", tracking_uri=f"http://127.0.0.1:{port}").__enter__()


def test_a_store_that_dies_keeps_the_metrics(tmp_path: Path) -> None:
    """Nothing measured is lost, and a line that a kill cut is skipped."""
    sent: list[Any] = []

    def send(rows: list[Any]) -> bool:
        if len(sent) < 2:
            sent.extend(rows)
            return True
        return False

    buffer = MetricBuffer(send, tmp_path / "m.jsonl")
    for step in range(6):
        buffer.add({"loss": float(step)}, step)
        buffer.flush()
    kept = read_spool(tmp_path / "m.jsonl")
    assert [row[3] for row in [*sent, *kept]] == list(range(6))
    with (tmp_path / "m.jsonl").open("a") as file:
        file.write('["loss", 1.')
    assert len(read_spool(tmp_path / "m.jsonl")) == len(kept)


def test_training_goes_on_when_the_store_goes(uri: str, tmp_path: Path) -> None:
    """After the store fails, every call is harmless and one warning says where metrics are."""

    class Gone:
        def __getattr__(self, name: str) -> Any:
            raise ConnectionError("gone")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spool = tmp_path / "m.jsonl"
        with MlflowTracker("shared", tracking_uri=uri, spool=spool) as tracker:
            tracker._link._client = Gone()  # type: ignore[assignment]
            tracker.log_metrics({"a": 1.0}, 1)
            tracker.flush()
            tracker.log_text("x", "x.txt")
            with tracker.child("late", spool=tmp_path / "late.jsonl") as late:
                late.log_metrics({"b": 2.0}, 1)
                late.log_params({"width": 1})
    assert len([w for w in caught if f"Metrics are kept in {spool}" in str(w.message)]) == 1
    assert [len(read_spool(path)) for path in (spool, tmp_path / "late.jsonl")] == [1, 1]
    assert not late.is_known


def test_a_run_that_the_store_does_not_know_is_made_anew(uri: str) -> None:
    """A job is sent to another store than the one that died: its run ids mean nothing there."""
    with MlflowTracker("shared", tracking_uri=uri, run_id="0" * 32) as tracker:
        tracker.log_metrics({"a": 1.0}, 0)
    assert tracker.run_id != "0" * 32


def test_a_network_of_ones_own_cannot_be_a_model(uri: str) -> None:
    """The fault is the network's, so it is raised, and the store is not said to be gone."""
    import precond_gm as pg
    from precond_gm.errors import UnknownNameError

    flow = pg.wrap(torch.nn.Bilinear(2, 1, 2), call=lambda m, t, z, y: m(z, t[:, None]))
    with (
        MlflowTracker("shared", tracking_uri=uri) as tracker,
        pytest.raises(UnknownNameError, match="Bilinear"),
    ):
        tracker.log_model(flow)


def test_a_part_of_ones_own_cannot_be_in_a_model(uri: str) -> None:
    """Oracle: the error's text, before anything is uploaded that could not be opened."""
    import precond_gm as pg
    from precond_gm.errors import CheckpointError
    from precond_gm.paths import Interpolant

    path = Interpolant(alpha=lambda t: (1 - t) ** 2)
    flow = pg.wrap(pg.models.MLP(2, width=8), event_shape=(2,), path=path)
    with (
        MlflowTracker("shared", tracking_uri=uri) as tracker,
        pytest.raises(CheckpointError, match=r"path \(Interpolant has the option 'alpha', a func"),
    ):
        tracker.log_model(flow)


def test_a_locked_database_is_said(uri: str, tmp_path: Path) -> None:
    """Another program holds the SQLite file; MLflow gives up after its own five seconds.

    Oracle: a lock taken by the standard library.
    """
    import shutil
    import sqlite3

    copy = tmp_path / "locked.db"
    shutil.copy(uri.removeprefix("sqlite:///"), copy)
    holder = sqlite3.connect(copy, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(TrackingError, match=r"database is locked. Another program writes"):
            MlflowTracker("shared", tracking_uri=f"sqlite:///{copy}").__enter__()
    finally:
        holder.close()


def test_unknown_experiment_lists_what_there_is(uri: str) -> None:
    """The user sees the names that exist."""
    with pytest.raises(TrackingError, match="Experiments: shared, warm"):
        find_job("nothing", uri)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("w2 (T=10)", "w2 -T-10-"), ("a/b.c:d_e-f", "a/b.c:d_e-f"), ("x" * 300, "x" * 250)],
)
def test_metric_names(given: str, expected: str) -> None:
    """Oracle: MLflow's rule, tried in the first test above with such a name."""
    assert metric_name(given) == expected


@pytest.mark.slow
def test_processes_may_open_a_fresh_store_together(tmp_path: Path) -> None:
    """Without a lock three of four crash on half-made tables."""
    code = (
        "from precond_gm.tracking import MlflowTracker\n"
        f"with MlflowTracker('e', tracking_uri='sqlite:///{tmp_path / 'm.db'}') as t:\n"
        "    t.log_metrics({'a': 1.0})\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) for _ in range(4)]
    assert [process.wait(120) for process in running] == [0] * 4


def test_a_model_from_code_gives_samples(uri: str) -> None:
    """Oracle: flow.sample with the same seed. No pickle is in the model's folder."""
    import mlflow
    import numpy as np

    import precond_gm as pg
    from precond_gm.models.units import Units
    from precond_gm.values import Scaling

    flow = pg.wrap(pg.models.MLP(2, num_labels=3, width=8), num_labels=3)
    x, label = torch.randn(60, 2), torch.arange(60) % 3
    flow.fit_preconditioner(x, label)
    scaling = Scaling(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0]))
    with MlflowTracker("shared", tracking_uri=uri) as tracker:
        address = tracker.log_model(flow, units=Units(scaling))
    assert address is not None
    assert tracker.client.get_run(tracker.run_id).info.status == "FINISHED"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        model = mlflow.pyfunc.load_model(address)
        folder = Path(mlflow.artifacts.download_artifacts(address))
    finally:
        mlflow.set_tracking_uri(before)
    labels = np.array([0, 1, 2, 2], dtype=np.int64)
    found = model.predict(labels, params={"steps": 4, "seed": 7})
    expected = flow.sample(
        torch.from_numpy(labels), steps=4, generator=torch.Generator().manual_seed(7)
    )
    np.testing.assert_allclose(found, scaling.undo(expected.x).numpy(), rtol=1e-5, atol=1e-6)
    assert not list(folder.rglob("*.pkl"))
