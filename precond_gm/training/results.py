"""What a job leaves behind: plain records that survive as JSON and arrays, and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from precond_gm.errors import CheckpointError
from precond_gm.values.report import plain

__all__ = ["Comparison", "RunResult", "write_text"]

RESULT, SAMPLES, COMPARISON, REAL = "result.json", "samples.npz", "comparison.json", "real.npz"


@dataclass(frozen=True)
class RunResult:
    """One variant with one seed, trained and judged.

    Attributes:
        variant: Name of the variant.
        seed: Of the run.
        steps: Optimiser steps taken.
        metrics: Flat numbers, under the names that MLflow has.
        train_loss, validation_loss: Rows (step, loss), in the variant's own coordinates.
        conditioning: ``t``, ``pooled`` (condition number at each t), ``labels`` (the same within
            each class), ``spectrum`` (eigenvalues of the data's covariance in z).
        recovery: ``eigenvalue`` of each direction of the data's covariance in x, ``ratio`` of
            generated to held-out variance there, and its interval ``lower``, ``upper``; where it
            is known, ``exact_ratio`` at ``exact_eigenvalue``: the exact Gaussian field's.
        fit: What fitting the preconditioner said: seconds, parameters, notes.
        samples, sample_label: Some generated rows, in x.
        run_id: Of the MLflow run, if there is one.
        observer: What the observer saw: ``steps``; ``explained`` and ``linear_explained`` (per
            step, a share for each direction, ascending eigenvalues), ``directions`` (number proved
            under-fitted, per step), ``warned_at``, ``warning``. Empty if it never looked.
        underfit: ``t``; ``ratio`` of the network's error to that of an affine map, and
            ``underfitted`` where it is proved too large: per t, a value for each direction,
            ascending eigenvalues. Empty where rows have too many features.
    """

    variant: str
    seed: int
    steps: int
    metrics: Mapping[str, float]
    train_loss: list[list[float]]
    validation_loss: list[list[float]]
    conditioning: Mapping[str, Any]
    recovery: Mapping[str, list[float]]
    fit: Mapping[str, Any]
    samples: NDArray[np.float32]
    sample_label: NDArray[np.int64] | None = None
    run_id: str | None = None
    observer: Mapping[str, Any] = field(default_factory=dict)
    underfit: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write ``samples.npz``, then ``result.json``; the second one says that both are there."""
        _save_rows(folder / SAMPLES, self.samples, self.sample_label)
        values = {k: plain(v) for k, v in vars(self).items() if "sample" not in k}
        write_text(folder / RESULT, json.dumps(values, indent=1))

    @classmethod
    def load(cls, folder: Path) -> RunResult:
        """Read what ``save`` wrote.

        Raises:
            CheckpointError: Missing or truncated.
        """
        values = _read_json(folder / RESULT)
        samples, label = _load_rows(folder / SAMPLES)
        return cls(**values, samples=samples, sample_label=label)


@dataclass(frozen=True)
class Comparison:
    """All runs of a job, with what is needed to tell the story again.

    Attributes:
        name: Of the job.
        recipe: The resolved recipe, as plain values.
        data: ``name``, rows of each part, ``event_shape``, ``label_names``, ``notes``; for tables
            ``features``: ``names``, and ``shift`` and ``scale`` back to the units of the file.
        results: In the order of variants, then seeds.
        real, real_label: Some rows of the test part, in x.
        machine: Versions, cores, device, seconds.
        tracking: ``uri``, ``experiment``, ``run_id`` of the parent run.
    """

    name: str
    recipe: Mapping[str, Any]
    data: Mapping[str, Any]
    results: tuple[RunResult, ...]
    real: NDArray[np.float32]
    real_label: NDArray[np.int64] | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)
    tracking: Mapping[str, str] = field(default_factory=dict)

    @property
    def variants(self) -> list[str]:
        """Names of the variants, in the order of the recipe."""
        return list(dict.fromkeys(result.variant for result in self.results))

    def of(self, variant: str) -> list[RunResult]:
        """Return the runs of a variant, by seed."""
        return sorted((r for r in self.results if r.variant == variant), key=lambda r: r.seed)

    def save(self, folder: Path) -> None:
        """Write ``real.npz`` and ``comparison.json``; the runs have folders of their own."""
        _save_rows(folder / REAL, self.real, self.real_label)
        kept = {k: plain(v) for k, v in vars(self).items() if "real" not in k and k != "results"}
        write_text(folder / COMPARISON, json.dumps(kept, indent=1))

    @classmethod
    def load(cls, folder: Path) -> Comparison:
        """Read a job's folder: ``comparison.json`` and every run below it that is finished."""
        values = _read_json(folder / COMPARISON)
        real, label = _load_rows(folder / REAL)
        order = {v["name"]: i for i, v in enumerate(values["recipe"]["variants"])}
        results = [RunResult.load(path.parent) for path in sorted(folder.glob(f"*/*/{RESULT}"))]
        results.sort(key=lambda r: (order.get(r.variant, len(order)), r.seed))
        return cls(**values, results=tuple(results), real=real, real_label=label)


def write_text(path: Path, text: str) -> None:
    """Write a text atomically.

    Raises:
        CheckpointError: It cannot be written; what was there is kept.
    """
    _write(path, text.encode())


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(f"cannot write {path}: {error}. Free some space.") from error


def _save_rows(path: Path, x: NDArray[Any], label: NDArray[Any] | None) -> None:
    import io

    content = io.BytesIO()
    arrays: dict[str, Any] = {"x": x} if label is None else {"x": x, "label": label}
    np.savez_compressed(content, **arrays)
    _write(path, content.getvalue())


def _load_rows(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive["x"], archive.get("label")
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is missing or damaged: {error}.") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is missing or damaged: {error}. Give the folder of a job that has finished."
        ) from error
