"""The job: every variant with every seed under one budget, tracked, and compared at the end."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from precond_gm import preconditioners
from precond_gm.data import Prepared, ReadOptions, ScaleKind, prepare, read
from precond_gm.errors import ConfigError
from precond_gm.models.units import Units
from precond_gm.tracking import MlflowTracker
from precond_gm.tracking.store import default_uri
from precond_gm.training.budget import steps_of
from precond_gm.training.build import build_flow
from precond_gm.training.description import (
    advice_of,
    described,
    features_of,
    line_of,
    machine_of,
)
from precond_gm.training.engine import make_engine
from precond_gm.training.evaluation import some_rows
from precond_gm.training.latent import encoded
from precond_gm.training.progress import Silent
from precond_gm.training.reading import find_recipe, recipe_of, save_recipe
from precond_gm.training.recipe import Recipe
from precond_gm.training.results import Comparison, RunResult, write_text
from precond_gm.training.run import Run
from precond_gm.training.sending import RECIPE, SPOOL, TAGS, TRACKING, log_run
from precond_gm.training.source import check_ot_batch
from precond_gm.values.report import plain

__all__ = ["Job", "load_data"]


def load_data(recipe: Recipe, store: Path | None = None) -> Prepared:
    """Read, split and scale the data of a recipe."""
    options = ReadOptions(recipe.label, recipe.image_size, recipe.colour, recipe.subset)
    return prepare(
        read(recipe.data, options),
        fractions=recipe.fractions,
        split_seed=recipe.split_seed,
        dequantise=recipe.dequantise,
        scale=ScaleKind(recipe.scale),
        store=store,
    )


class Job:
    """All runs of a recipe, in one folder, under one parent run of MLflow.

    Args:
        recipe: Settings.
        folder: Of the job. One that holds a job already is continued, if the recipe is the same.
        tracking_uri: MLflow store; ``""`` tracks nothing.
        progress: What is said on the way.
        engine: An Accelerator; made from the recipe by default.

    Everything that can be refused is refused when the job is made: nothing is left behind then.

    Raises:
        PrecondError: Data or parts that cannot be used.
        ConfigError: The folder holds a job with another recipe; the difference is shown.
        TrackingError: The store does not answer.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        *,
        tracking_uri: str | None = None,
        progress: Silent | None = None,
        engine: Any = None,
    ) -> None:
        self.recipe, self.folder = recipe, folder
        self.progress = progress or Silent()
        self.engine = make_engine(recipe) if engine is None else engine
        self._check_same_recipe()
        store = folder / f"rows-{self.engine.process_index}.npy" if recipe.stream else None
        self.data = load_data(recipe, store)
        self.units = Units(self.data.scaling)
        check_ot_batch(recipe, self.data.train.x.shape[0])
        for variant in recipe.variants:
            build_flow(recipe, variant, self.data, 0)
        self.known: dict[str, str] = _read(folder / TRACKING)
        self.tracker: MlflowTracker | None = None
        if tracking_uri != "" and self.engine.is_main_process:
            self.tracker = MlflowTracker(
                recipe.name,
                tracking_uri=tracking_uri,
                run_name=folder.name,
                run_id=self.known.get("parent"),
                spool=folder / SPOOL,
                tags=TAGS,
                advice=advice_of(folder, tracking_uri or default_uri()),
            )

    def __enter__(self) -> Job:
        """Start the parent run and write the recipe down."""
        if self.tracker is not None:
            self.tracker.__enter__()  # first: a store that does not answer leaves nothing behind
        if self.engine.is_main_process:
            _tidy(self.folder)
            save_recipe(self.recipe, self.folder / RECIPE)
        if self.tracker is not None:
            self._remember("parent", self.tracker.run_id)
            self.tracker.log_params(self.recipe.to_params())
            self.tracker.log_file(self.folder / RECIPE)
        return self

    def __exit__(self, *failure: Any) -> None:
        """End the parent run."""
        if self.tracker is not None:
            self.tracker.__exit__(*failure)

    def run(self) -> Comparison:
        """Run what is not finished yet and return the comparison."""
        data = self._data()
        self.progress.say(described(data))
        results: list[RunResult] = []
        total = self.recipe.seeds * len(self.recipe.variants)
        for seed in range(self.recipe.seeds):
            runs = [self._planned(variant, seed, data) for variant in self.recipe.variants]
            fits = [run.fit() for run in runs]
            steps = steps_of(self.recipe, runs, fits, self.folder / f"budget-{seed}.json")
            for run, fit, count in zip(runs, fits, steps, strict=True):
                result = self._run(run, fit, count)
                results.append(result)
                self.progress.say(line_of(len(results), total, result))
        names = [variant.name for variant in self.recipe.variants]
        results.sort(key=lambda result: (names.index(result.variant), result.seed))
        return self._compared(data, results)

    def _data(self) -> Prepared:
        """Return the rows, or their codes where training is latent."""
        if not self.recipe.latent:
            return self.data
        with self.engine.main_process_first():
            data, net = encoded(self.data, self.recipe, self.folder, self.engine.device)
        self.units = Units(data.scaling, net)
        return data

    def _planned(self, variant: Any, seed: int, data: Prepared) -> Run:
        folder = self.folder / variant.slug / f"seed-{seed}"
        extra = 0
        if self.recipe.match == "parameters":
            sizes = {v.name: _map_size(v, data) for v in self.recipe.variants}
            extra = max(sizes.values()) - sizes[variant.name]
        return Run(variant, seed, self.recipe, data, folder, self.engine, self.units, extra)

    def _run(self, run: Run, fit: dict[str, Any], steps: int) -> RunResult:
        if run.is_finished:
            return RunResult.load(run.folder)
        key = f"{run.variant.slug}/seed-{run.seed}"
        child = None
        if self.tracker is not None:
            child = self.tracker.child(
                f"{run.variant.name}, seed {run.seed}",
                run_id=self.known.get(key),
                spool=run.folder / SPOOL,
            )
        with child or nullcontext():
            if child is not None:
                if child.is_known:
                    self._remember(key, child.run_id)
                child.log_params(
                    {"variant": run.variant.name, "seed": run.seed, **self.recipe.to_params()}
                )
                child.log_metrics(fit["metrics"], 0)
            flow, loop = run.train(steps, child, self.progress)
            self.engine.wait_for_everyone()
            if not self.engine.is_main_process:
                self.engine.wait_for_everyone()
                return RunResult.load(run.folder)
            known = child.run_id if child is not None and child.is_known else None
            result = run.judge(flow, loop, fit, known)
            if child is not None:
                child.log_metrics(result.metrics, loop.step)
                log_run(child, run.folder, flow, self.units, self.recipe.register)
            self.engine.wait_for_everyone()
        return result

    def _compared(self, data: Prepared, results: list[RunResult]) -> Comparison:
        real, label = some_rows(data.test, self.units.decode)
        parts = {"train": data.train, "validation": data.validation, "test": data.test}
        comparison = Comparison(
            name=self.recipe.name,
            recipe=self.recipe.to_plain(),
            data={
                "name": data.name,
                "rows": {name: part.x.shape[0] for name, part in parts.items()},
                "event_shape": list(data.event_shape),
                "label_names": list(data.label_names),
                "features": {} if self.recipe.latent else features_of(data),
                "notes": list(data.notes),
            },
            results=tuple(results),
            real=real,
            real_label=label,
            machine=machine_of(self.engine, results),
            tracking={}
            if self.tracker is None
            else {
                "uri": self.tracker.tracking_uri,
                "experiment": self.tracker.experiment,
                "run_id": self.tracker.run_id,
            },
        )
        if self.engine.is_main_process:
            comparison.save(self.folder)
        return comparison

    def _remember(self, key: str, run_id: str) -> None:
        if self.known.get(key) != run_id:
            self.known[key] = run_id
            write_text(self.folder / TRACKING, json.dumps(self.known, indent=1))

    def _check_same_recipe(self) -> None:
        if not (self.folder / RECIPE).exists():
            return
        before = plain(recipe_of(find_recipe(self.folder / RECIPE)).to_plain())
        now = plain(self.recipe.to_plain())
        changed = [
            f"  {key}: {before[key]!r} -> {now[key]!r}" for key in now if before[key] != now[key]
        ]
        if changed:
            raise ConfigError(
                f"{self.folder} holds a job with another recipe, so its runs cannot be continued:\n"
                + "\n".join(changed)
                + "\nTake the changes back, or start a new job (without --resume)."
            )


def _map_size(variant: Any, data: Prepared) -> int:
    part = preconditioners.REGISTRY.resolve(variant.parts.get("preconditioner", "identity"))
    part.build(data.event_shape, data.num_labels)
    return sum(p.numel() for p in part.parameters())


def _tidy(folder: Path) -> None:
    """Remove files that a kill left half-written: they are hidden and end in a process's number."""
    for path in folder.rglob(".*.*"):
        if path.suffix[1:].isdigit():
            path.unlink()


def _read(path: Path) -> dict[str, str]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
