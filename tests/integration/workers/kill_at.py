"""Run the command line and kill this process at a chosen moment: ``kill_at.py MOMENT COUNT ...``.

Moments: ``step`` (the COUNT-th optimiser step, of a map or of the network), ``save`` (half of the
COUNT-th checkpoint is written), ``replace`` (the COUNT-th file is written, but not moved into
place), ``sample`` (the COUNT-th sampling of the evaluation), ``draw`` (before the report).
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from precond_gm import report
from precond_gm.cli import main
from precond_gm.flow import PreconditionedFlow


def before(owner: Any, name: str, act: Callable[..., None]) -> None:
    """Call ``act`` with the same arguments before a function."""
    real = getattr(owner, name)

    def wrapped(*args: Any, **options: Any) -> Any:
        act(*args, **options)
        return real(*args, **options)

    setattr(owner, name, wrapped)


class Strike:
    """Kill this process at the last of so many calls; nothing is cleaned up."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, *args: Any, **options: Any) -> None:
        """Count down."""
        self.count -= 1
        if self.count == 0:
            os.kill(os.getpid(), signal.SIGKILL)


moment, number, sys.argv[1:] = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
strike, save = Strike(number), torch.save


def strike_halfway(state: Any, file: Any) -> None:
    """Write half of a checkpoint before the strike."""
    if strike.count == 1:
        content = io.BytesIO()
        save(state, content)
        file.write(content.getvalue()[: content.tell() // 2])
        file.flush()
    strike()


if moment == "step":
    register_optimizer_step_pre_hook(strike)
elif moment == "save":
    before(torch, "save", strike_halfway)
elif moment == "replace":
    before(os, "replace", strike)
elif moment == "sample":
    before(PreconditionedFlow, "sample", strike)
elif moment == "draw":
    before(report, "draw", strike)
main()
