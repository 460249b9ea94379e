"""``loss(field=ddp)`` over two gloo processes gives both ranks the same gradients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WORKER = Path(__file__).parent / "workers" / "two_ranks.py"


def test_loss_with_field_ddp_averages_gradients_on_both_ranks() -> None:
    """Oracle: equality of the gathered gradients; without DDP's forward they differ."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node=2",
            str(WORKER),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "equal: True unsynchronised differ: True" in done.stdout, done.stderr
