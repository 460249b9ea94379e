"""What a run has seen so far; part of every checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

__all__ = ["History"]


@dataclass
class History:
    """What a run has seen so far; part of every checkpoint.

    Attributes:
        train: (step, mean loss since the row before).
        validation: (step, loss of the averaged network on fixed noise and times).
        seconds: Time spent in steps, over all sessions of the run.
        best: Smallest validation loss.
        stale: Validations since the best.
    """

    train: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    best: float = math.inf
    stale: int = 0
