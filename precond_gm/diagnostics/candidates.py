"""One candidate for advice: fitted, judged on rows held out, and timed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm import preconditioners
from precond_gm.errors import PrecondError
from precond_gm.models import MLP
from precond_gm.preconditioners.base import AbstractPreconditioner
from precond_gm.preconditioners.flows import AbstractFlow
from precond_gm.preconditioners.judging import condition_number, gaussian_log_density
from precond_gm.registry import spec_of
from precond_gm.values import Batch

__all__ = ["Budget", "Candidate", "judged", "sampling_seconds"]

SAMPLING_EVALUATIONS, SAMPLING_ROWS = 100, 256  # 50 steps of Heun, the demonstration's batch


@dataclass(frozen=True)
class Candidate:
    """A preconditioner, judged on held-out rows.

    Attributes:
        name: Name, or names joined by ``+``.
        inverse: ``closed-form`` or ``numerical``.
        condition_number: Held-out, of the worst label that has rows enough.
        log_likelihood: Held-out mean log-density per row, in nats.
        behind: Mean held-out log-likelihood behind the best candidate's, paired by row.
        behind_error: Standard error of ``behind``.
        fit_seconds: Wall time of the fit.
        inverse_ms: Milliseconds of the inverse per 1,000 rows.
        inverse_share: Time of the inverse over that of 50 Heun steps of a 256-wide MLP.
        round_trip_error: Largest ``|T^-1(T(x)) - x|`` relative to the largest ``|x|``.
        failure: Why it cannot be used here, or None.
    """

    name: str
    inverse: str = ""
    condition_number: float = float("nan")
    log_likelihood: float = float("nan")
    behind: float = float("nan")
    behind_error: float = float("nan")
    fit_seconds: float = float("nan")
    inverse_ms: float = float("nan")
    inverse_share: float = float("nan")
    round_trip_error: float = float("nan")
    failure: str | None = None


@dataclass(frozen=True)
class Budget:
    """What a trained map may take.

    Attributes:
        max_steps: Optimiser steps at most.
        max_seconds: Seconds of training at most, or None.
        seed: Of the fit.
    """

    max_steps: int = 300
    max_seconds: float | None = None
    seed: int = 0


def judged(
    name: str,
    train: Batch,
    held: Batch,
    num_labels: int | None,
    budget: Budget,
    sampling: float,
) -> tuple[Candidate, Tensor | None]:
    """Fit a candidate and judge it; return the held-out log-density of each row as well.

    Args:
        name: Name, or names joined by ``+``.
        train: Rows to fit on.
        held: Rows to judge on.
        num_labels: Number of classes.
        budget: Of a map that is trained.
        sampling: Seconds that sampling takes beside the inverse, from ``sampling_seconds``.
    """
    generator = torch.Generator().manual_seed(budget.seed)
    try:
        part = preconditioners.REGISTRY.resolve(spec_of(name))
        for module in part.modules():
            if isinstance(module, AbstractFlow):
                module.max_seconds = budget.max_seconds
        start = time.perf_counter()
        part.fit(
            train.x,
            train.label,
            num_labels=num_labels,
            max_steps=budget.max_steps,
            generator=generator,
        )
        seconds = time.perf_counter() - start
        with torch.no_grad():
            there = part(held.x, held.label)
            back = part.inverse(there.value, held.label).value
    except PrecondError as error:
        return Candidate(name, failure=str(error)), None
    log_density = (gaussian_log_density(there.value) + there.log_abs_det).double()
    per_thousand = _inverse_seconds(part, there.value, held.label) * 1000
    return Candidate(
        name,
        inverse=part.inverse_kind.value,
        condition_number=condition_number(there.value, held.label).value,
        log_likelihood=float(log_density.mean()),
        fit_seconds=seconds,
        inverse_ms=1e3 * per_thousand,
        inverse_share=per_thousand * SAMPLING_ROWS / 1000 / sampling,
        round_trip_error=float((back - held.x).abs().max() / held.x.abs().max().clamp_min(1e-30)),
    ), log_density


def sampling_seconds(x: Tensor) -> float:
    """Time what sampling costs beside the inverse: 100 evaluations of a small network."""
    network = MLP(tuple(x.shape[1:]))
    rows = x[:1].expand(SAMPLING_ROWS, *x.shape[1:]).float()
    t = torch.full((SAMPLING_ROWS,), 0.5)
    with torch.no_grad():
        network(t, rows)
        start = time.perf_counter()
        for _ in range(10):
            network(t, rows)
    return (time.perf_counter() - start) * SAMPLING_EVALUATIONS / 10


def _inverse_seconds(part: AbstractPreconditioner, z: Tensor, label: Tensor | None) -> float:
    """Time the inverse per row, the second of two calls."""
    rows = min(z.shape[0], 1000)
    few = None if label is None else label[:rows]
    with torch.no_grad():
        for _ in range(2):
            start = time.perf_counter()
            part.inverse(z[:rows], few)
            seconds = time.perf_counter() - start
    return seconds / rows
