"""One run of a job: fit the map, precondition once, train, judge; each stage is kept on disk."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from precond_gm.checkpoint import load, save, write_state
from precond_gm.data import Prepared
from precond_gm.data.preparation import allocate
from precond_gm.flow import PreconditionedFlow
from precond_gm.models.units import Units
from precond_gm.numerics.rows import batches
from precond_gm.preconditioners import precondition_cached
from precond_gm.tracking import MlflowTracker
from precond_gm.tracking.model import UNITS_FORMAT
from precond_gm.training.build import build_flow, widened
from precond_gm.training.evaluation import evaluate
from precond_gm.training.loop import BEST, Loop
from precond_gm.training.progress import Silent
from precond_gm.training.recipe import Recipe
from precond_gm.training.results import RESULT, RunResult, write_text
from precond_gm.training.streams import seed_of
from precond_gm.training.variants import Variant
from precond_gm.values import Batch
from precond_gm.values.report import plain

__all__ = ["START", "Run"]

START, FIT, FLOW, UNITS = "start.pt", "fit.json", "flow.pt", "units.pt"
_FIT = 4  # stream of a run's seed
_IMAGES = "z"  # folder of rows that a learned map was run over


@dataclass
class Run:
    """A variant with a seed.

    Attributes:
        variant: What is trained.
        seed: Of everything random in it.
        recipe: Settings.
        data: Rows.
        folder: Where its stages are kept.
        engine: An Accelerator.
        units: The way back to rows of the file.
        extra_parameters: Parameters that matching adds to the network.
    """

    variant: Variant
    seed: int
    recipe: Recipe
    data: Prepared
    folder: Path
    engine: Any
    units: Units
    extra_parameters: int = 0

    @property
    def is_finished(self) -> bool:
        """Whether its result is on disk."""
        return (self.folder / RESULT).exists()

    def fit(self) -> dict[str, Any]:
        """Fit preconditioner and coupling, unless that was done; return what fitting said."""
        if not (self.folder / START).exists() and self.engine.is_main_process:
            self._fit()
        self.engine.wait_for_everyone()
        return json.loads((self.folder / FIT).read_text(encoding="utf-8"))

    def train(
        self, steps: int, tracker: MlflowTracker | None, progress: Silent
    ) -> tuple[PreconditionedFlow, Loop]:
        """Train, from the last checkpoint if there is one; keep and return the averaged flow."""
        flow = load(self.folder / START)
        train, validation = self._in_z(flow, self.data.train, "train"), self.data.validation
        held = self._in_z(flow, validation, "validation")
        title = f"{self.variant.name}, seed {self.seed}"
        loop = Loop(
            flow,
            train,
            held,
            self.recipe,
            seed=self.seed,
            steps=steps,
            folder=self.folder,
            engine=self.engine,
            log=(lambda metrics, step: None) if tracker is None else tracker.log_metrics,
            notify=lambda text: progress.say(f"{title}, {text}"),
        )
        loop.resume()
        with progress.bar(title, loop.steps, loop.step) as update:
            loop.run(update)
        averaged = loop.average.flow
        if self.recipe.patience and (self.folder / BEST).exists():
            averaged = load(self.folder / BEST).to(self.engine.device)
        if self.engine.is_main_process:
            save(averaged, self.folder / FLOW)
            write_state(
                {"format": UNITS_FORMAT, "version": 1, **self.units.to_dict()},
                self.folder / UNITS,
            )
        return averaged, loop

    def judge(
        self, flow: PreconditionedFlow, loop: Loop, fit: dict[str, Any], run_id: str | None
    ) -> RunResult:
        """Sample, measure and keep the result."""
        result = evaluate(
            flow,
            self.data,
            self.recipe,
            variant=self.variant.name,
            seed=self.seed,
            history=loop.history,
            steps=loop.step,
            fit=fit,
            observed=loop.observed,
            run_id=run_id,
            decode=self.units.decode,
        )
        result.save(self.folder)
        shutil.rmtree(self.folder / _IMAGES, ignore_errors=True)
        return result

    def _fit(self) -> None:
        recipe = widened(self.recipe, self.data, self.extra_parameters)
        flow = build_flow(recipe, self.variant, self.data, self.seed).to(self.engine.device)
        generator = torch.Generator().manual_seed(seed_of(self.seed, _FIT))
        start = time.perf_counter()
        train = self.data.train
        report = flow.fit_preconditioner(
            train.x, train.label, max_steps=self.recipe.fit_steps, generator=generator
        )
        if flow.coupling.needs_fit:
            flow.fit_coupling(train.x, train.label, generator=generator)
        said = {
            **plain(report),
            "seconds": time.perf_counter() - start,
            "parameters": sum(p.numel() for p in flow.preconditioner.parameters()),
            "network_parameters": sum(p.numel() for p in flow.field.parameters()),
            "metrics": report.as_metrics(),
        }
        write_text(self.folder / FIT, json.dumps(said, indent=1))
        save(flow, self.folder / START)

    def _in_z(self, flow: PreconditionedFlow, part: Batch, name: str) -> Batch:
        """Precondition a part once, for all steps; beside the run when rows are streamed.

        A learned map takes as long as a network, so its image is kept until the run is judged.
        """
        device, stream = self.engine.device, self.recipe.stream
        flow.to(device)
        if any(True for _ in flow.preconditioner.parameters()) and not stream:
            folder = self.folder / _IMAGES
            z = precondition_cached(flow.preconditioner, part.x, part.label, folder=folder)
        else:
            store = self.folder / f"{name}-z-{self.engine.process_index}.npy" if stream else None
            z, start = allocate(tuple(part.x.shape), store), 0
            for rows in batches(part.x, part.label):
                label = None if rows.label is None else rows.label.to(device)
                end = start + rows.x.shape[0]
                z[start:end] = flow.precondition(rows.x.to(device), label).cpu()
                start = end
        if stream or self.recipe.pairs_ahead or device.type == "cpu":
            return Batch(z, part.label)
        return Batch(z.to(device), None if part.label is None else part.label.to(device))
