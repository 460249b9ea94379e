r"""What every map fitted by maximum likelihood is: a closed-form scaling, then a trainable flow.

Flows of every library act near the origin only: a spline is the identity outside [-5, 5], so on
raw units it would pass every test of reversibility and precondition nothing. The scaling in front
is part of the map, and the flow starts from what whitening gives.
"""

from __future__ import annotations

import abc
import dataclasses
import math
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.rows import RowsLike
from precond_gm.options import check_counts, check_positive
from precond_gm.preconditioners.base import AbstractPreconditioner, FitReport
from precond_gm.preconditioners.gathering import sample, split, thinned
from precond_gm.preconditioners.judging import judge
from precond_gm.preconditioners.likelihood import (
    FlowFit,
    Schedule,
    fit_losses,
    negative_log_likelihood,
)
from precond_gm.preconditioners.precision import full_precision
from precond_gm.values import Batch, InverseKind, Transformed

__all__ = ["AbstractFlow"]

STOPPING_ROWS = 2048  # held-out rows that decide when to stop: means to a few hundredths of a nat
JUDGED_ROWS = 8192  # held-out rows of the report, where the inverse is not an iteration


@dataclass(eq=False, repr=False)
class AbstractFlow(AbstractPreconditioner):
    """Scaling followed by a flow on the scaled rows, fitted by maximum likelihood, then frozen.

    A backend gives three things: ``make`` builds the network, ``encode`` and ``decode`` run it on
    scaled rows with a one-hot label. Options are dataclass fields, so a backend adds its own below.

    Args:
        scaling: Closed-form map in front, a name or ``(name, options)``; ``whiten``, per label, by
            default.
        max_steps: Optimiser steps at most.
        learning_rate: Of AdamW at the start; it falls to zero along a cosine.
        batch_size: Rows per step.
        patience: Held-out evaluations (one every 25 steps) without improvement before it stops.
        max_seconds: Wall time after which no further step is taken; no limit by default.
        progress: Show a progress bar on stderr.

    Attributes:
        box: Largest absolute scaled value that the flow itself acts on; infinite for most. Beyond
            it the flow continues by a straight line, and the report counts the rows.
    """

    scaling: str | tuple[str, dict[str, Any]] = "whiten"
    max_steps: int = 2000
    learning_rate: float = 1e-3
    batch_size: int = 256
    patience: int = 10
    max_seconds: float | None = None
    progress: bool = False

    box: ClassVar[float] = math.inf
    scaling_map: AbstractPreconditioner = field(init=False)
    network: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        super().__init__()
        check_counts(self, "batch_size", "patience")
        check_counts(self, "max_steps", least=0)
        check_positive(self, "learning_rate")

    @abc.abstractmethod
    def make(self, event_shape: tuple[int, ...], labels: int) -> nn.Module:
        """Build the network for rows of one shape and one-hot labels of width ``labels`` (or 0)."""

    @abc.abstractmethod
    def encode(self, rows: Tensor, context: Tensor | None) -> Transformed:
        """Map scaled rows ``batch *event`` to the latent space."""

    @abc.abstractmethod
    def decode(self, rows: Tensor, context: Tensor | None) -> Transformed:
        """Map latent rows ``batch *event`` back to the scaled space."""

    def losses(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return what the fit lowers, for each scaled row: the negative log-likelihood."""
        return negative_log_likelihood(self._run(batch.x, batch.label))

    def build(self, event_shape: tuple[int, ...], num_labels: int | None) -> None:
        """Allocate scaling and network; the global random state is left as it was."""
        self._build(tuple(event_shape), num_labels, seed=0)

    def fit(
        self,
        x: RowsLike,
        label: Tensor | None = None,
        *,
        num_labels: int | None = None,
        max_steps: int | None = None,
        generator: torch.Generator | None = None,
    ) -> FitReport:
        """Fit the scaling in closed form, then the flow by maximum likelihood.

        A stream is read once; rows beyond what fits into memory are thinned at random. The tenth
        of the rows held out (8,192 at most, 2,048 where the inverse is numerical) decides when to
        stop, and is what the report is about.

        Raises:
            InvalidInputError: Rows or labels that are not usable.
        """
        with torch.inference_mode(False), torch.enable_grad():  # wherever the caller stands
            return self._fit(x, label, num_labels, max_steps, generator)

    def _fit(
        self,
        x: RowsLike,
        label: Tensor | None,
        num_labels: int | None,
        max_steps: int | None,
        generator: torch.Generator | None,
    ) -> FitReport:
        started = time.perf_counter()
        generator = generator if generator is not None else torch.Generator().manual_seed(0)
        rows, num_labels = sample(x, label, num_labels=num_labels, generator=generator)
        train, held = split(rows, generator)
        formula = self.inverse_kind is InverseKind.CLOSED_FORM
        held = thinned(held, JUDGED_ROWS if formula else STOPPING_ROWS, generator)
        seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
        self._build(tuple(rows.x.shape[1:]), num_labels, seed)
        scaled = self.scaling_map.fit(train.x, train.label, num_labels=num_labels)
        self.network.to(rows.x.device, rows.x.dtype)
        steps = self.max_steps if max_steps is None else max_steps
        went = fit_losses(
            self.network.train().requires_grad_(True),  # zuko's integrals have gradients here only
            lambda batch: self.losses(batch, generator),
            self._scaled(train),
            self._scaled(thinned(held, STOPPING_ROWS, generator)),
            Schedule(
                max_steps=steps,
                learning_rate=self.learning_rate,
                batch_size=self.batch_size,
                patience=self.patience,
                max_seconds=self.max_seconds,
                progress=self.progress,
            ),
            generator=generator,
        )
        self.requires_grad_(False).eval()
        outside = self._outside(held)
        notes = (*self._went(went), *self._said(outside, held), *scaled.notes)
        report = judge(
            self,
            held,
            num_rows=train.x.shape[0],
            started=started,
            steps=went.steps,
            notes=tuple(note for note in notes if "conditioning" not in note),
        )
        seconds = time.perf_counter() - started
        return dataclasses.replace(report, seconds=seconds, rows_outside=outside)

    @full_precision
    def forward(self, x: Tensor, label: Tensor | None = None) -> Transformed:
        """Scale the rows, then run the flow."""
        self.require(x, label)
        scaled = self.scaling_map(x, label)
        image = self._run(scaled.value, label)
        return Transformed(image.value, image.log_abs_det + scaled.log_abs_det)

    @full_precision
    def inverse(self, z: Tensor, label: Tensor | None = None) -> Transformed:
        """Undo the flow, then the scaling."""
        self.require(z, label)
        scaled = self.decode(z, self._context(label, z))
        back = self.scaling_map.inverse(scaled.value, label)
        return Transformed(back.value, scaled.log_abs_det + back.log_abs_det)

    def _run(self, rows: Tensor, label: Tensor | None) -> Transformed:
        return self.encode(rows, self._context(label, rows))

    def _context(self, label: Tensor | None, rows: Tensor) -> Tensor | None:
        if self.num_labels is None or label is None:
            return None
        return functional.one_hot(label.long(), self.num_labels).to(rows)

    def _build(self, event_shape: tuple[int, ...], num_labels: int | None, seed: int) -> None:
        from precond_gm.preconditioners import REGISTRY

        self.scaling_map = REGISTRY.resolve(self.scaling)
        if isinstance(self.scaling_map, AbstractFlow):
            raise InvalidInputError(
                f"scaling is a closed-form map such as 'whiten'; got {self.scaling!r}. Put flows "
                f"one after the other in a chain instead."
            )
        self.scaling_map.build(event_shape, num_labels)
        with torch.random.fork_rng(devices=[]):  # networks draw their weights from global state
            torch.manual_seed(seed)
            self.network = self.make(event_shape, num_labels or 0)
        self.requires_grad_(False)
        self.eval()
        self.event_shape, self.num_labels = event_shape, num_labels

    def _scaled(self, rows: Batch) -> Batch:
        with torch.no_grad():
            return Batch(self.scaling_map(rows.x, rows.label).value, rows.label)

    def _went(self, went: FlowFit) -> tuple[str, ...]:
        kept = f"best held-out loss at step {went.best_step} of {went.steps}"
        if not went.best_step:
            kept += ": the flow adds nothing to its start here"
        if went.stopped_at is not None:
            return (f"stopped at step {went.stopped_at}: the loss was not finite", kept)
        if went.out_of_time:
            return (f"stopped at step {went.steps}: {self.max_seconds:g} s had passed", kept)
        return (kept,)

    def _outside(self, rows: Batch) -> int:
        return int((self._scaled(rows).x.flatten(1).abs() > self.box).any(1).sum())

    def _said(self, outside: int, rows: Batch) -> tuple[str, ...]:
        if not outside:
            return ()
        return (
            f"{outside} of {rows.x.shape[0]} held-out rows reach beyond the box of "
            f"{self.box:g} deviations, where the flow is a straight line",
        )
