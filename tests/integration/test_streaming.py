"""Rows that do not fit into memory: mapped from an ``.npy``, and never held at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROWS, FEATURES = 1_500_000, 100  # 600 MB of float32, more than the process may allocate
ROOM = 450 * 2**20

SCRIPT = """
import resource, sys
from precond_gm.cli import main
import torch, sklearn, ot, matplotlib.figure, accelerate, zuko, precond_gm.report, mlflow
import precond_gm.training.job, scipy.stats
used = int(next(l for l in open("/proc/self/status") if l.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + {room}, -1))
sys.argv = ["precond-gm", "train", "--data", "x.npy", "--variants", "{variants}", "--seeds", "1",
    "--max-steps", "30", "--no-tracking", "stream=true", "num_samples=500", "sample_steps=[3]",
    "model=mlp", "model_options={{width: 32, depth: 1}}", "batch_size=64"]
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("variants", ["identity", "whiten"])
def test_a_file_larger_than_the_memory_is_trained_on(tmp_path: Path, variants: str) -> None:
    """Oracle: the kernel, which refuses to give the process more private memory than the bound.

    The same bound without streaming is refused, so the bound is not too wide.
    """
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (ROWS, FEATURES))
    generator = np.random.default_rng(0)
    for start in range(0, ROWS, 50_000):
        x[start : start + 50_000] = generator.standard_normal((50_000, FEATURES), np.float32)
    x.flush()
    del x
    script = SCRIPT.format(room=ROOM, variants=variants)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "sliced W2" in done.stdout
    inside = script.replace("stream=true", "stream=false")
    refused = subprocess.run(
        [sys.executable, "-c", inside], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
