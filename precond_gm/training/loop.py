"""The loop of one run: steps, averages, validations and checkpoints, resumed bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from precond_gm.checkpoint import read_state, save, write_state
from precond_gm.diagnostics import Observer, ObserverReport
from precond_gm.errors import CheckpointError, NonFiniteError
from precond_gm.flow import PreconditionedFlow
from precond_gm.training.average import Average
from precond_gm.training.clipping import clip_gradient
from precond_gm.training.history import History
from precond_gm.training.recipe import Recipe
from precond_gm.training.schedule import learning_rate
from precond_gm.training.source import part_of, source_of
from precond_gm.training.streams import seed_of
from precond_gm.training.validation import validation_loss
from precond_gm.values import Batch, Pairing

__all__ = ["Loop"]

FORMAT = "precond_gm.training"
LAST, BEST = "last.pt", "best.pt"
_NOISE, _OBSERVER = 2, 7  # streams of a run's seed
_MOST_OBSERVED = 1024  # features: beyond, the eigenvectors of each look cost minutes

Log = Callable[[Mapping[str, float], int], None]


class Loop:
    """Train one flow on rows that are preconditioned already.

    On the first process an ``Observer`` watches the averaged network: it judges each batch before
    the batch is trained on, with randomness of its own, so training is the same without it.

    Args:
        flow: The flow, its preconditioner fitted.
        train: Rows z and labels.
        validation: Rows z and labels, never trained on.
        recipe: Settings.
        seed: Of the run; batches, noise and times follow from it and the step.
        steps: Number of steps.
        folder: For ``last.pt`` and ``best.pt``.
        engine: An Accelerator.
        log: Receives metrics and their step.
        notify: Receives the warning that training stands still, or why that is not watched.

    Attributes:
        observer: None where the recipe wants none, or rows have too many features.
    """

    def __init__(
        self,
        flow: PreconditionedFlow,
        train: Batch,
        validation: Batch,
        recipe: Recipe,
        *,
        seed: int,
        steps: int,
        folder: Path,
        engine: Any,
        log: Log = lambda metrics, step: None,
        notify: Callable[[str], object] = lambda text: None,
    ) -> None:
        self.flow, self.recipe, self.seed, self.steps = flow, recipe, seed, steps
        self.folder, self.engine, self._log = folder, engine, log
        self.step = 0
        self.history = History()
        self._held_out = validation
        self._source = source_of(recipe, train, flow.coupling, seed, engine)
        flow.to(engine.device).train()
        self.average = Average(flow, recipe.ema_decay)
        if recipe.compile:
            flow.field.compile()
        # The engine wraps the network only. Its backward and its optimiser serve loss scaling and
        # other engines; on each call they look for a package that is not there (8 % of a step).
        self._field = engine.prepare(flow.field)
        self._weights = list(flow.field.parameters())
        self._apart = [p for p in flow.objective.parameters() if p.requires_grad]
        self._parameters = self._weights + self._apart
        self._optimiser = torch.optim.AdamW(
            self._parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
        )
        self._generator = torch.Generator(engine.device)
        self._loss_sum = torch.zeros((), device=engine.device)
        self._share = torch.tensor(1 / recipe.accumulate, device=engine.device)
        self.observer: Observer | None = None
        watches, features = recipe.observe_every and engine.is_main_process, train.x[0].numel()
        if watches and features > _MOST_OBSERVED:
            notify(
                f"directions are not observed: rows have {features:,} features, and each look "
                f"would take minutes above {_MOST_OBSERVED:,}."
            )
        elif watches:
            self.observer = Observer(
                self.average.flow,
                every=recipe.observe_every,
                log=log,
                notify=notify,
                generator=torch.Generator().manual_seed(seed_of(seed, _OBSERVER)),
            )

    @property
    def observed(self) -> ObserverReport | None:
        """What was observed, if anything was."""
        seen = self.observer is not None and self.observer.has_seen
        return self.observer.report() if self.observer is not None and seen else None

    @property
    def is_done(self) -> bool:
        """Whether the last step was taken, or patience ended the run."""
        patience = self.recipe.patience
        return self.step >= self.steps or (patience > 0 and self.history.stale >= patience)

    def run(self, progress: Callable[[int, float], None] = lambda step, loss: None) -> History:
        """Take all steps that remain; ``progress`` is told the step and the last logged loss.

        Raises:
            NonFiniteError: The loss became NaN or infinite.
            CheckpointError: A checkpoint cannot be written; the one before it is kept.
        """
        with self._source.guarding(), closing(self._source.batches_from(self.step)) as batches:
            self._run(batches, progress)
        return self.history

    def _run(
        self, batches: Iterator[Batch | Pairing], progress: Callable[[int, float], None]
    ) -> None:
        recipe, start = self.recipe, time.perf_counter()
        shown = self.history.train[-1][1] if self.history.train else math.nan
        for batch in batches:
            self._observe(batch)
            if self.is_done:
                return
            self._take_step(batch)
            self.step += 1
            self.average.update(self.step)
            if self.step % recipe.log_every == 0 or self.step == self.steps:
                shown = self._log_loss()
            if recipe.validate_every and (
                self.step % recipe.validate_every == 0 or self.step == self.steps
            ):
                self._validate()
            progress(self.step, shown)
            if self.step % recipe.checkpoint_every == 0 or self.is_done:
                now = time.perf_counter()
                self.history.seconds += now - start
                start = now
                self.save()

    def save(self) -> None:
        """Write ``last.pt``, on the first process."""
        if not self.engine.is_main_process:
            return
        write_state(
            {
                "format": FORMAT,
                "version": 1,
                "step": self.step,
                "steps": self.steps,
                "seed": self.seed,
                "model": self.flow.field.model.state_dict(),
                "objective": self.flow.objective.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self._optimiser.state_dict(),
                "loss_sum": self._loss_sum,
                "history": vars(self.history),
                "observer": None if self.observer is None else self.observer.state_dict(),
            },
            self.folder / LAST,
        )

    def resume(self) -> bool:
        """Go on from ``last.pt``; return whether there was one.

        Raises:
            CheckpointError: It is truncated, foreign, or of another network.
        """
        if not (self.folder / LAST).exists():
            return False
        state = read_state(self.folder / LAST, FORMAT)
        try:
            self.flow.field.model.load_state_dict(state["model"])
            self.flow.objective.load_state_dict(state["objective"])
            self.average.load_state_dict(state["average"])
            self._optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{self.folder / LAST} does not fit this network: {error}. Start a new job, or "
                f"resume with the recipe of the old one."
            ) from error
        self.step, self.steps = state["step"], state["steps"]
        self._loss_sum.copy_(state["loss_sum"])
        self.history = History(**state["history"])
        if self.observer is not None:
            self.observer.load_state_dict(state["observer"])
        return True

    def _observe(self, batch: Batch | Pairing) -> None:
        if self.observer is not None:
            z = batch.z1 if isinstance(batch, Pairing) else batch.x
            self.observer(self.step, z, batch.label, preconditioned=True)

    def _take_step(self, batch: Batch | Pairing) -> None:
        """Take one step and add its loss to the sum; nothing here waits for the device."""
        recipe, engine = self.recipe, self.engine
        rate = learning_rate(recipe, self.step, self.steps)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._generator.manual_seed(seed_of(self.seed, _NOISE, self.step, engine.process_index))
        size = recipe.batch_size // (engine.num_processes * recipe.accumulate)
        for number in range(recipe.accumulate):
            part = part_of(batch, slice(number * size, (number + 1) * size), engine.device)
            is_last = number == recipe.accumulate - 1
            with nullcontext() if is_last else engine.no_sync(self._field):
                loss = self._loss(part)
                loss.backward(self._share)  # type: ignore[no-untyped-call]
            self._loss_sum.add_(loss.detach(), alpha=1 / recipe.accumulate)
        for parameter in self._apart:  # the engine shares the gradients of the network only
            parameter.grad = engine.reduce(parameter.grad, "mean")
        if recipe.clip:
            clip_gradient(self._weights, recipe.clip)
        self._optimiser.step()
        for parameter in self._parameters:
            parameter.grad = None

    def _loss(self, part: Batch | Pairing) -> Tensor:
        x, label = (part, None) if isinstance(part, Pairing) else (part.x, part.label)
        terms = self.flow.loss(
            x, label, preconditioned=True, field=self._field, generator=self._generator
        )
        return terms.total

    def _log_loss(self) -> float:
        recipe = self.recipe
        count = (self.step - 1) % recipe.log_every + 1
        loss = float(self.engine.reduce(self._loss_sum, "mean")) / count
        self._loss_sum.zero_()
        if not math.isfinite(loss):
            raise NonFiniteError(
                f"the loss is {loss} at step {self.step} (seed {self.seed}). Lower lr (it is "
                f"{recipe.lr:g}), set clip, or look at the data with 'precond-gm diagnose'. The "
                f"last checkpoint in {self.folder} is from before."
            )
        self.history.train.append((self.step, loss))
        self._log({"loss/train": loss}, self.step)
        return loss

    def _validate(self) -> None:
        loss = validation_loss(self.average.flow, self._held_out, self.seed, self.engine.device)
        history = self.history
        history.validation.append((self.step, loss))
        self._log({"loss/validation": loss}, self.step)
        if loss < history.best:
            history.best, history.stale = loss, 0
            if self.engine.is_main_process:
                save(self.average.flow, self.folder / BEST)
        else:
            history.stale += 1
