"""A tracking store that goes away while a job runs: the job ends well, and is sent later."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from precond_gm.cli import main
from precond_gm.training.results import Comparison

PROGRAM = [sys.executable, "-c", "from precond_gm.cli import main; main()"]
SMALL = [
    "train",
    "--recipe",
    "digits",
    "--variants",
    "identity,whiten",
    "--seeds",
    "1",
    "--max-steps",
    "30",
    "validate_every=10",
    "log_every=10",
    "batch_size=64",
    "num_samples=200",
    "sample_steps=[3]",
    "model_options={width: 32, depth: 1}",
]


def call(*words: str) -> Result:
    """Run a command in this process; stdout and stderr apart."""
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


def command_in(said: str) -> list[str]:
    """Return the words of the command that a warning tells the user to run."""
    line = next(line for line in said.splitlines() if "Send it later with: " in line)
    return shlex.split(line.partition("Send it later with: ")[2])[1:]


def assert_all_there(uri: str, folder: Path) -> None:
    """Every loss, result and model of the folder is in the store. Oracle: the folder."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("digits")
    runs = client.search_runs([experiment.experiment_id])
    found = {run.data.params["variant"]: run for run in runs if "variant" in run.data.params}
    assert len(runs) == 3
    for result in Comparison.load(folder).results:
        run = found[result.variant]
        history = client.get_metric_history(run.info.run_id, "loss/train")
        assert sorted([m.step, m.value] for m in history) == result.train_loss
        assert run.data.metrics["quality/energy"] == result.metrics["quality/energy"]
        assert run.info.status == "FINISHED"
        assert run.outputs.model_outputs
    parent = next(run for run in runs if "variant" not in run.data.params)
    names = {f.path for f in client.list_artifacts(parent.info.run_id)}
    assert {"report.html", "comparison.json", "real.npz", "figures", "recipe.yaml"} <= names


@pytest.mark.parametrize(
    "after", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(2, marks=pytest.mark.slow)]
)
def test_what_a_store_did_not_take_is_sent_by_the_command_that_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, after: int
) -> None:
    """The store fails from its n-th batch of metrics on: one run later each time."""
    monkeypatch.chdir(tmp_path)
    uri = store
    taken: list[Any] = []
    real = MlflowClient.log_batch

    def failing(self: MlflowClient, run_id: str, *more: Any, **rows: Any) -> Any:
        if rows.get("metrics"):
            if len(taken) >= after:
                raise ConnectionError("the server is gone")
            taken.append(run_id)
        return real(self, run_id, *more, **rows)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", failing)
        result = call(*SMALL, "--tracking-uri", uri)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("has gone away: the server is gone") == 1
    sent = call(*command_in(result.stderr))
    assert sent.exit_code == 0, sent.output
    assert_all_there(uri, tmp_path / "runs" / "digits-001")
    assert not list((tmp_path / "runs").rglob("metrics.jsonl"))
    again = call("report", "runs/digits-001", "--send", "--tracking-uri", uri)
    assert "0 runs and 0 metrics sent" in again.stderr


@pytest.mark.slow
def test_a_job_is_sent_to_another_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    """The store is lost for good: another one gets every run of the folder."""
    monkeypatch.chdir(tmp_path)
    result = call(*SMALL, "--no-tracking")
    assert result.exit_code == 0, result.output
    sent = call("report", "runs/digits-001", "--send", "--tracking-uri", store)
    assert sent.exit_code == 0, sent.output
    assert "3 runs and" in sent.stderr
    assert_all_there(store, tmp_path / "runs" / "digits-001")
    assert call("compare", "digits", "--tracking-uri", store).exit_code == 0


@pytest.mark.slow
def test_a_server_that_is_killed(tmp_path: Path) -> None:
    """A real server, killed after the first run has started, and started again afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = start_server(tmp_path, port, environment)
    trainer = subprocess.Popen(
        [*PROGRAM, *SMALL, "--tracking-uri", uri, "max_steps=600"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        wait_for(lambda: list(tmp_path.glob("runs/*/*/*/start.pt")))
        os.killpg(server.pid, signal.SIGKILL)
        _, said = trainer.communicate(timeout=300)
        assert trainer.returncode == 0, said
        assert said.count("has gone away") == 1
        server = start_server(tmp_path, port, environment)
        subprocess.run([*PROGRAM, *command_in(said)], cwd=tmp_path, env=environment, check=True)
        assert_all_there(uri, tmp_path / "runs" / "digits-001")
    finally:
        trainer.kill()
        os.killpg(server.pid, signal.SIGKILL)


def start_server(folder: Path, port: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start an MLflow server with its files in the folder, and wait until it answers."""
    words = ["server", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    files = ["--artifacts-destination", str(folder / "files")]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *words, *store, *files],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(lambda: answers(f"http://127.0.0.1:{port}/health"))
    return server


def answers(address: str) -> bool:
    """Return whether something serves the address."""
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except OSError:
        return False


def wait_for(condition: Any, seconds: float = 180) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)
