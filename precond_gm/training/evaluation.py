"""Judge a trained flow: conditioning on training rows, samples against held-out rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from precond_gm.data import Prepared
from precond_gm.diagnostics import (
    ConditioningReport,
    ObserverReport,
    QualityReport,
    conditioning,
    quality,
)
from precond_gm.flow import PreconditionedFlow
from precond_gm.training.bits import bit_metrics
from precond_gm.training.directions import exact_directions, map_of, underfitted
from precond_gm.training.history import History
from precond_gm.training.recipe import Recipe
from precond_gm.training.results import RunResult
from precond_gm.training.streams import seed_of
from precond_gm.values import Batch, Samples
from precond_gm.values.report import plain

__all__ = ["conditioning_of", "curves_of", "directions_of", "evaluate", "some_rows"]

Decode = Callable[[Tensor], Tensor]

_SAMPLES = 5  # stream of a run's seed
_TIMES = 41
_SHOWN_PER_LABEL, _SHOWN = 5, 600
_MOST_ROWS = 20_000  # of training rows: more do not change a condition number that is readable


def evaluate(
    flow: PreconditionedFlow,
    data: Prepared,
    recipe: Recipe,
    *,
    variant: str,
    seed: int,
    history: History,
    steps: int,
    fit: Mapping[str, Any],
    observed: ObserverReport | None = None,
    run_id: str | None = None,
    decode: Decode = lambda x: x,
) -> RunResult:
    """Return everything that the report needs to know of a run.

    Every variant is sampled from the same noise for the same seed. Judged are samples against
    test rows; directions of variance come from training rows.
    """
    spectra = conditioning_of(flow, data)
    drawn = {k: _sample(flow, recipe, seed, k) for k in sorted(recipe.sample_steps)}
    found = {k: _quality(samples, data) for k, samples in drawn.items()}
    most, proved = max(drawn), underfitted(flow, data)
    metrics = {
        **{k: v for k, v in fit["metrics"].items() if v is not None},
        **_condition_metrics(spectra),
        **_quality_metrics(found),
        **bit_metrics(drawn[most].x, data),
        **({} if observed is None else observed.as_metrics()),
        **({} if proved is None else proved.as_metrics()),
        "training/seconds": history.seconds,
        "training/rows_per_second": steps * recipe.batch_size / max(history.seconds, 1e-9),
        "parameters/map": float(fit["parameters"]),
        "parameters/network": float(fit["network_parameters"]),
    }
    if history.validation:
        metrics["loss/validation/last"] = history.validation[-1][1]
    shown, label = some_rows(Batch(drawn[most].x.cpu(), _cpu(drawn[most].label)), decode)
    return RunResult(
        variant=variant,
        seed=seed,
        steps=steps,
        metrics=metrics,
        train_loss=[list(row) for row in history.train],
        validation_loss=[list(row) for row in history.validation],
        conditioning=curves_of(spectra),
        recovery=directions_of(found[most]) | exact_directions(flow, data, most),
        fit=dict(fit),
        samples=shown,
        sample_label=label,
        run_id=run_id,
        observer={} if observed is None else observed.to_dict(),
        underfit=map_of(proved),
    )


def conditioning_of(
    flow: PreconditionedFlow, data: Prepared, *, times: int = _TIMES
) -> ConditioningReport:
    """Return the conditioning of training rows on the flow's path, behind its map and coupling."""
    train = data.train
    label = None if train.label is None else train.label[:_MOST_ROWS]
    device = next(flow.parameters()).device
    return conditioning(
        train.x[:_MOST_ROWS].to(device),
        None if label is None else label.to(device),
        preconditioner=flow.preconditioner,
        coupling=flow.coupling,
        path=flow.path,
        times=times,
    )


def some_rows(
    part: Batch, decode: Decode = lambda x: x
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    """Return rows to show: some of each label for images, more for clouds of points.

    Args:
        part: Rows.
        decode: From codes to rows, for latent training.
    """
    index = torch.arange(min(_SHOWN, part.x.shape[0]))
    is_image = decode(part.x[:1]).ndim == 4
    if part.label is not None and is_image:
        chosen = [
            torch.nonzero(part.label == value).flatten()[:_SHOWN_PER_LABEL]
            for value in torch.unique(part.label).tolist()
        ]
        index = torch.cat(chosen)
    x = decode(part.x[index])
    label = None if part.label is None else part.label[index].numpy()
    return x.numpy().astype(np.float32), label


def _sample(flow: PreconditionedFlow, recipe: Recipe, seed: int, steps: int) -> Samples:
    device = next(flow.parameters()).device
    generator = torch.Generator(device).manual_seed(seed_of(seed, _SAMPLES))
    return flow.sample(recipe.num_samples, steps=steps, generator=generator)


def _quality(samples: Samples, data: Prepared) -> QualityReport:
    return quality(
        samples.x.cpu(),
        data.test.x,
        reference=data.train.x[:_MOST_ROWS],
        metrics=["energy_distance", "sliced_w2", "recovery"],
        max_rows=2048,
    )


def _condition_metrics(report: ConditioningReport) -> dict[str, float]:
    """Labels with fewer rows than features have no condition number: they are left out."""
    metrics = {"conditioning/pooled_max": report.worst}
    finite = [one.worst for one in report.per_label.values() if math.isfinite(one.worst)]
    if finite:
        metrics["conditioning/label_max"] = max(finite)
    return metrics


def _quality_metrics(found: Mapping[int, QualityReport]) -> dict[str, float]:
    """Flatten; errors of variances are told as factors, so that 1 is perfect."""
    metrics: dict[str, float] = {}
    for steps, report in found.items():
        metrics[f"quality/w2_{steps}"] = report["sliced_w2"].value
    report = found[max(found)]
    low, all_ = report.metrics.get("low_recovery_error"), report.recovery
    metrics |= {
        "quality/energy": report["energy_distance"].value,
        "floor/energy": report["energy_distance"].floor,
        "floor/w2": report["sliced_w2"].floor,
    }
    if low is not None and all_ is not None:
        metrics["recovery/low"] = 2**low.value
        metrics["floor/recovery_low"] = 2**low.floor
        metrics["recovery/all"] = float(all_.ratio.log().abs().mean().exp())
        metrics["floor/recovery_all"] = float(all_.floor.log().abs().mean().exp())
    return metrics


def curves_of(report: ConditioningReport) -> dict[str, Any]:
    """Return what the figures draw of a conditioning report, as plain values."""
    return {
        "t": plain(report.t),
        "pooled": plain(report.condition_number),
        "labels": {str(k): plain(r.condition_number) for k, r in report.per_label.items()},
        "spectrum": plain(report.eigenvalues[-1]),
    }


def directions_of(report: QualityReport) -> dict[str, list[float]]:
    """Return variance recovered per direction, as plain values."""
    found = report.recovery
    if found is None:
        return {"eigenvalue": [], "ratio": [], "lower": [], "upper": []}
    return {
        "eigenvalue": plain(found.eigenvalue),
        "ratio": plain(found.ratio),
        "lower": plain(found.low),
        "upper": plain(found.high),
    }


def _cpu(label: Tensor | None) -> Tensor | None:
    return None if label is None else label.cpu()
