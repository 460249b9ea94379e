"""Judge a flow on held-out rows, with noise and times that are the same every time."""

from __future__ import annotations

import torch

from precond_gm.diagnostics.judging import evaluating
from precond_gm.flow import PreconditionedFlow
from precond_gm.training.streams import seed_of
from precond_gm.values import Batch

__all__ = ["validation_loss"]

_VALIDATION = 3  # stream of a run's seed
_ROWS = 4096


def validation_loss(
    flow: PreconditionedFlow, rows: Batch, seed: int, device: torch.device
) -> float:
    """Return the loss on at most 4,096 rows z; comparable from step to step of one run."""
    z, label = rows.x[:_ROWS].to(device), rows.label
    label = None if label is None else label[:_ROWS].to(device)
    generator = torch.Generator(device).manual_seed(seed_of(seed, _VALIDATION))
    with evaluating(flow):
        return float(flow.loss(z, label, preconditioned=True, generator=generator).total)
