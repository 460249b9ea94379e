r"""The loop that fits every flow by mini-batches, judged on held-out rows.

The loss is one number per row: ``-log N(T(u); 0, I) - log |det dT/du|`` for rows u that are scaled
already, for every map fitted by maximum likelihood. Its held-out mean is computed every few steps,
the best weights are kept, and the fit stops when they have not improved for a while.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from precond_gm.preconditioners.judging import gaussian_log_density
from precond_gm.values import Batch, Transformed

__all__ = ["FlowFit", "Losses", "Schedule", "fit_losses", "negative_log_likelihood"]

Losses = Callable[[Batch], Tensor]
CHUNK = 4096  # rows evaluated at once
MAX_GRADIENT = 10.0  # norm above which a gradient is cut: one wild row must not undo the fit


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a flow is fitted.

    Attributes:
        max_steps: Optimiser steps at most.
        learning_rate: Of AdamW at the start; it falls to zero along a cosine.
        batch_size: Rows per step.
        check_every: Steps between two evaluations on held-out rows.
        patience: Evaluations without a better one after which the fit stops.
        max_seconds: Wall time after which no further step is taken, or None.
        progress: Show a progress bar on stderr.
    """

    max_steps: int
    learning_rate: float
    batch_size: int = 256
    check_every: int = 25
    patience: int = 10
    max_seconds: float | None = None
    progress: bool = False


@dataclass(frozen=True)
class FlowFit:
    """How a fit went.

    Attributes:
        steps: Steps taken.
        best_step: Step whose weights were kept.
        stopped_at: Step whose likelihood was not finite, or None.
        out_of_time: Whether it was the time that ended the fit.
    """

    steps: int
    best_step: int
    stopped_at: int | None
    out_of_time: bool = False


def negative_log_likelihood(image: Transformed) -> Tensor:
    """Return ``-log p`` of each row, from its image under a map to N(0, I)."""
    return -gaussian_log_density(image.value) - image.log_abs_det


def fit_losses(
    module: nn.Module,
    losses: Losses,
    train: Batch,
    held: Batch,
    schedule: Schedule,
    *,
    generator: torch.Generator | None = None,
) -> FlowFit:
    """Fit the parameters of ``module`` and leave the best of them in it.

    A loss that is not finite ends the fit; the last good weights are kept.

    Args:
        module: Holder of the parameters.
        losses: Loss of each row of a batch, through ``module``.
        train: Rows fitted on, scaled already.
        held: Rows that decide when to stop.
        schedule: Length and speed.
        generator: Draws the mini-batches.
    """
    from tqdm import tqdm

    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=1e-5)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, schedule.max_steps))
    best, best_step, best_state = mean_loss(losses, held), 0, copy.deepcopy(module.state_dict())
    step, stopped_at, late = 0, None, False
    most = math.inf if schedule.max_seconds is None else schedule.max_seconds
    ends = time.perf_counter() + most
    with tqdm(total=schedule.max_steps, disable=not schedule.progress, desc="fit") as bar:
        while step < schedule.max_steps and not late:
            batch = _draw(train, schedule.batch_size, generator)
            loss = losses(batch).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT)
            if not math.isfinite(float(loss.detach())):
                stopped_at = step
                break
            optimizer.step()
            falling.step()
            step += 1
            bar.update()
            late = time.perf_counter() > ends
            if step % schedule.check_every == 0 or step == schedule.max_steps or late:
                now = mean_loss(losses, held)
                bar.set_postfix(held_out=f"{now:.4g}", best=f"{best:.4g}")
                if now < best:
                    best, best_step = now, step
                    best_state = copy.deepcopy(module.state_dict())
                elif step - best_step >= schedule.patience * schedule.check_every:
                    break
    module.load_state_dict(best_state)
    return FlowFit(step, best_step, stopped_at, late and step < schedule.max_steps)


def mean_loss(losses: Losses, rows: Batch) -> float:
    """Return the mean loss of rows, infinite where it is not a number."""
    with torch.no_grad():
        parts = [losses(part) for part in _chunks(rows)]
    value = float(torch.cat(parts).mean())
    return value if math.isfinite(value) else math.inf


def _draw(rows: Batch, size: int, generator: torch.Generator | None) -> Batch:
    device = generator.device if generator is not None else None
    picked = torch.randint(rows.x.shape[0], (size,), generator=generator, device=device)
    picked = picked.to(rows.x.device)
    return Batch(rows.x[picked], None if rows.label is None else rows.label[picked])


def _chunks(rows: Batch) -> list[Batch]:
    values = torch.split(rows.x, CHUNK)
    labels = [None] * len(values) if rows.label is None else torch.split(rows.label, CHUNK)
    return [Batch(x, label) for x, label in zip(values, labels, strict=True)]
