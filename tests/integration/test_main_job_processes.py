"""The main job as other processes see it: kills, torchrun, mlflow run. Slow: each starts Python."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from precond_gm.training.results import Comparison

pytestmark = pytest.mark.slow

QUIET = subprocess.DEVNULL
COMMAND = [sys.executable, "-c", "from precond_gm.cli import main; main()"]
SETTINGS = [
    "train",
    "--recipe",
    "digits",
    "--variants",
    "whiten",
    "--seeds",
    "1",
    "--no-tracking",
    "checkpoint_every=20",
    "validate_every=50",
    "log_every=10",
    "num_samples=200",
    "sample_steps=[3]",
    "model_options={width: 32, depth: 1}",
]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of the trained network and of the map that was fitted."""
    state = torch.load(folder / "zuko.realnvp" / "seed-0" / "flow.pt", weights_only=True)
    return {**state["base"], **{f"map.{k}": v for k, v in state["preconditioner"].items()}}


def environment() -> dict[str, str]:
    """Return one thread per process."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


def test_twenty_kills_at_random_moments(tmp_path: Path) -> None:
    """SIGKILL while a map is fitted, in steps, in half a checkpoint, before it is moved into place,
    in validation, in the evaluation, before the report, and at random times; resumed each time.

    Oracle: the weights, losses and figures of the run that nobody killed, bit for bit.
    """
    words = [*SETTINGS, "--max-steps", "1500", "fit_steps=40", "variants=zuko.realnvp"]
    whole = [*COMMAND, *words, "--out", str(tmp_path / "whole")]
    subprocess.run(whole, check=True, env=environment(), capture_output=True)
    chance = random.Random(0)
    killed = [*words, "--out", str(tmp_path / "killed"), "--resume"]
    steps = [("step", chance.randrange(21, 70)) for _ in range(4)]
    files = [("save", chance.randrange(1, 4)), ("replace", chance.randrange(2, 5))]
    middle = [*steps, *files, *[("wait", chance.randrange(400)) for _ in range(6)]]
    chance.shuffle(middle)
    moments = [
        *[("step", chance.randrange(1, 40)), ("save", 1), ("step", chance.randrange(1, 40))],
        *middle,
        *[("sample", 1), ("replace", 2), ("replace", 3), ("draw", 1), ("replace", 2)],
    ]
    assert len(moments) == 20
    script = Path(__file__).parent / "workers" / "kill_at.py"
    at = []
    for moment, count in moments:
        if moment == "wait":  # milliseconds after the first checkpoint of this process
            process = subprocess.Popen([*COMMAND, *killed], env=environment(), stderr=QUIET)
            wait_for_checkpoint(tmp_path / "killed", time.time())
            time.sleep(count / 1000)
            process.send_signal(signal.SIGKILL)
        else:
            command = [sys.executable, str(script), moment, str(count), *killed]
            process = subprocess.Popen(command, env=environment(), stderr=QUIET, stdout=QUIET)
        assert process.wait(300) == -signal.SIGKILL, (moment, count)
        at.append(f"{moment} {count}: {progress_of(tmp_path / 'killed')}")
    print("\n".join(at))
    subprocess.run([*COMMAND, *killed], check=True, env=environment(), capture_output=True)
    assert not [path for path in (tmp_path / "killed").rglob(".*") if path.is_file()]
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(one[key], two[key]) for key in one)
    results = [Comparison.load(tmp_path / name).results[0] for name in ("whole", "killed")]
    assert results[0].train_loss == results[1].train_loss
    assert results[0].validation_loss == results[1].validation_loss
    timed = {"training/seconds", "training/rows_per_second", "fit/seconds"}
    a, b = (result.metrics for result in results)
    assert [key for key in a if key not in timed and a[key] != b[key]] == []


def wait_for_checkpoint(folder: Path, since: float) -> None:
    """Wait until a checkpoint is written."""
    path = folder / "zuko.realnvp" / "seed-0" / "last.pt"
    deadline = time.monotonic() + 120
    while not (path.exists() and path.stat().st_mtime > since):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def progress_of(folder: Path) -> str:
    """Return how far a job has come, by its files."""
    run = folder / "zuko.realnvp" / "seed-0"
    if (run / "result.json").exists():
        return "judged"
    if (run / "flow.pt").exists():
        return "trained"
    if (run / "last.pt").exists():
        return f"step {torch.load(run / 'last.pt', weights_only=True)['step']}"
    return "fitted" if (run / "start.pt").exists() else "not fitted"


def torchrun(folder: Path, *more: str) -> list[str]:
    """Return the command of two processes on this machine, as the README has it."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    program = Path(sys.executable).with_name("precond-gm")
    return [*launch, "--no-python", str(program), *SETTINGS, "--out", str(folder / "two"), *more]


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """The same rows in each step; noise differs by rank, so losses agree within its size.

    Oracle: the run of one process. Tolerance: the validation loss (fixed noise and times) of both
    lies within 3 %. Training losses are means over 10 steps of 256 rows: their noise is estimated
    from the differences of neighbours within one run, and four of its deviations are allowed.
    """
    steps = ["--max-steps", "200"]
    alone = [*COMMAND, *SETTINGS, *steps, "--out", str(tmp_path / "one")]
    subprocess.run(alone, check=True, env=environment(), capture_output=True)
    subprocess.run(torchrun(tmp_path, *steps), check=True, env=environment(), capture_output=True)
    one, two = (Comparison.load(tmp_path / name) for name in ("one", "two"))
    assert two.machine["processes"] == 2
    losses = [c.results[0].validation_loss for c in (one, two)]
    assert [row[0] for row in losses[0]] == [row[0] for row in losses[1]]
    for (_, a), (_, b) in zip(*losses, strict=True):
        assert abs(a - b) < 0.03 * a
    curves = np.array([[row[1] for row in c.results[0].train_loss] for c in (one, two)])
    late = curves[:, curves.shape[1] // 2 :]  # where the loss is nearly level
    noise = np.diff(late, axis=1).std() / np.sqrt(2)
    assert np.abs(late[0] - late[1]).max() < 4 * np.sqrt(2) * noise


def test_a_dead_rank_ends_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    """One of two processes is killed while training: a message, no hang, a usable checkpoint."""
    command = torchrun(tmp_path, "--max-steps", "100000")
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
    last = tmp_path / "two" / "whiten" / "seed-0" / "last.pt"
    deadline = time.monotonic() + 120
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert last.exists()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode != 0
    print(said)
    assert "Signal 9 (SIGKILL)" in said
    assert torch.load(last, weights_only=True)["step"] >= 20


def test_mlflow_run(tmp_path: Path) -> None:
    """Every entry point of the project works, in the folder that was asked for.

    Oracle: the files there, and the project's own folder, which stays as it is.
    """
    project = Path(__file__).parents[2] / "mlflow"
    before = sorted(project.rglob("*"))
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    run = "runs/digits-001/identity/seed-0"
    for entry, values in {
        "train": ["max_steps=50", "seeds=1", "override=variants=identity"],
        "sample": [f"run={run}", "count=5", "out=five.npz"],
        "diagnose": ["data=iris"],
    }.items():
        words = ["run", str(project), "-e", entry, "--env-manager", "local"]
        given = [word for value in [*values, f"folder={tmp_path}"] for word in ("-P", value)]
        done = subprocess.run(
            [str(Path(sys.executable).with_name("mlflow")), *words, *given],
            cwd=tmp_path,
            env={**environment(), "PATH": path, "MLFLOW_TRACKING_URI": uri},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / run / "flow.pt").exists()
    with np.load(tmp_path / "five.npz") as arrays:
        assert arrays["x"].shape == (5, 1, 8, 8)
    assert sorted(project.rglob("*")) == before


def test_a_logged_model_predicts_in_a_fresh_process(tmp_path: Path) -> None:
    """Train with tracking, then load by address in a process that has seen nothing."""
    words = [w for w in SETTINGS if w != "--no-tracking"]
    command = [*COMMAND, *words, "--max-steps", "50", "--json"]
    done = subprocess.run(
        command, cwd=tmp_path, check=True, env=environment(), capture_output=True, text=True
    )
    assert json.loads(done.stdout)["tracking"]["experiment"] == "digits"
    code = (
        "import mlflow, numpy as np\n"
        "mlflow.set_tracking_uri('sqlite:///mlflow.db')\n"
        "known = [mlflow.get_experiment_by_name('digits').experiment_id]\n"
        "model = mlflow.search_logged_models(known, output_format='list')[0]\n"
        "loaded = mlflow.pyfunc.load_model(model.model_uri)\n"
        "x = loaded.predict(np.array([3, 7], dtype=np.int64), params={'steps': 3})\n"
        "print(x.shape)\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=True,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip().endswith("(2, 1, 8, 8)")
