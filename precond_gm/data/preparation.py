"""From raw rows to three parts in the package's coordinates."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from precond_gm.data.records import RawData
from precond_gm.data.scaling import ScaleKind
from precond_gm.data.split import PARTS, split_rows
from precond_gm.errors import DataError
from precond_gm.values import Batch, Scaling

__all__ = ["Prepared", "allocate", "prepare"]

_CHUNK_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Prepared:
    """Three parts of a data set, dequantised and scaled, in the coordinates x.

    Attributes:
        name: Short name for reports.
        train, validation, test: Rows and labels. Nothing is ever fitted on test rows.
        scaling: Back to the units of the file.
        label_names: Name of each class; empty without labels.
        feature_names: Name of each column of a table; empty where there are none.
        notes: What was decided on the way.
    """

    name: str
    train: Batch
    validation: Batch
    test: Batch
    scaling: Scaling
    label_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return tuple(self.train.x.shape[1:])

    @property
    def num_labels(self) -> int | None:
        """Number of classes, or None without labels."""
        return None if self.train.label is None else len(self.label_names)


def prepare(
    raw: RawData,
    *,
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    split_seed: int = 0,
    dequantise: bool | None = None,
    scale: ScaleKind = ScaleKind.AUTO,
    store: Path | None = None,
) -> Prepared:
    """Split, dequantise and scale; every statistic comes from training rows alone.

    Args:
        raw: What a reader returned.
        fractions: Shares of train, validation and test.
        split_seed: Seed of the split and of the dequantisation noise.
        dequantise: Add uniform noise on [0, 1) to integers; None does it for integer data.
        scale: Which affine map leads to the coordinates x.
        store: A file to hold the rows on disk, for data larger than memory; None keeps them in
            memory.

    Raises:
        DataError: NaN or infinity (the first place is named), or too few rows.
    """
    parts = split_rows(raw, fractions, split_seed)
    order = np.concatenate([parts[part] for part in PARTS])
    x = allocate((len(order), *raw.x.shape[1:]), store)
    noisy = raw.is_integer if dequantise is None else dequantise
    noise = np.random.default_rng([split_seed, 1])  # another stream than the split's
    step = max(1, _CHUNK_BYTES // max(1, 4 * x[0].numel()))
    is_bits = raw.is_integer
    for start in range(0, len(order), step):
        rows = order[start : start + step]
        values = np.asarray(raw.x[rows], dtype=np.float64)
        _check_finite(values, rows, raw.name)
        is_bits = is_bits and bool(np.isin(values, (0, 1)).all())
        if noisy:
            values = values + noise.random(values.shape)
        x[start : start + step] = torch.from_numpy(values).to(x.dtype)
    notes = [*raw.notes, *_advise(raw, noisy, is_bits)]
    count = len(parts["train"])
    scaling, said = _fit_scaling(x[:count], raw.value_range, scale, float(noisy), step)
    for start in range(0, len(order), step):
        x[start : start + step] = scaling.apply(x[start : start + step])
    label = None if raw.label is None else torch.from_numpy(raw.label[order])
    sizes = [len(parts[part]) for part in PARTS]
    rows_of = torch.split(x, sizes)
    labels_of = torch.split(label, sizes) if label is not None else (None, None, None)
    train, validation, test = map(Batch, rows_of, labels_of)
    said_all = (*notes, *said)
    for note in said_all:
        warnings.warn(f"{raw.name}: {note}", UserWarning, stacklevel=2)
    return Prepared(
        raw.name, train, validation, test, scaling, raw.label_names, raw.feature_names, said_all
    )


def allocate(shape: tuple[int, ...], store: Path | None = None) -> Tensor:
    """Return an empty float32 tensor, in memory or backed by a memory-mapped ``.npy`` file.

    A mapped tensor is a tensor like any other: indexing it reads only the rows asked for.
    """
    if store is None:
        return torch.empty(shape)
    store.parent.mkdir(parents=True, exist_ok=True)
    return torch.from_numpy(np.lib.format.open_memmap(store, "w+", np.float32, shape))


def _check_finite(values: NDArray[np.float64], rows: NDArray[np.int64], name: str) -> None:
    finite = np.isfinite(values)
    if finite.all():
        return
    at, *feature = (int(i) for i in np.argwhere(~finite)[0])
    raise DataError(
        f"{name} holds {values[(at, *feature)]} at row {int(rows[at])}, feature "
        f"{tuple(feature)}. Remove or impute such rows first."
    )


def _advise(raw: RawData, noisy: bool, is_bits: bool) -> list[str]:
    """Say what will hurt: integers without dequantisation, classes smaller than a row is wide."""
    notes = []
    if is_bits and noisy:
        notes.append(
            "the rows are bits, made continuous by uniform noise. To learn them as bits, say "
            "dequantise=false scale=none prediction=x1 divergence=bce, without a preconditioner."
        )
    if raw.is_integer and not noisy and not is_bits:
        notes.append(
            "the rows are integers and are not dequantised: a density on points is unbounded, and "
            "training fits the grid. Set dequantise=true."
        )
    if raw.label is not None:
        width = int(np.prod(raw.x.shape[1:]))
        counts = np.bincount(raw.label, minlength=len(raw.label_names))
        small = [f"{raw.label_names[i]!r} ({counts[i]})" for i in np.flatnonzero(counts <= width)]
        if small:
            notes.append(
                f"{len(small)} of {len(counts)} classes have no more rows than features ({width}), "
                f"so their covariance is not of full rank: {', '.join(small[:5])}"
                f"{', ...' if len(small) > 5 else ''}. Whitening shrinks there."
            )
    return notes


def _fit_scaling(
    x: Tensor,
    value_range: tuple[float, float] | None,
    kind: ScaleKind,
    quantum: float,
    step: int,
) -> tuple[Scaling, list[str]]:
    if kind is ScaleKind.AUTO:
        kind = ScaleKind.FEATURES if value_range is None else ScaleKind.UNIT
    if kind is ScaleKind.NONE:
        return Scaling(torch.zeros(()), torch.ones(()), quantum), []
    if kind is ScaleKind.UNIT:
        if value_range is None:
            raise DataError(
                "scale=unit needs data whose format has a range (bytes, images); use "
                "scale=features or scale=global here."
            )
        low, high = value_range[0], value_range[1] + quantum
        return Scaling(torch.tensor((low + high) / 2), torch.tensor((high - low) / 2), quantum), []
    mean, deviation = _moments(x, step)
    if kind is ScaleKind.GLOBAL:
        total = (deviation.square() + (mean - mean.mean()).square()).mean().sqrt()
        return Scaling(mean.mean(), torch.where(total > 0, total, 1.0), quantum), []
    constant = deviation <= 1e-7 * mean.abs().clamp_min(1e-30)
    notes = []
    if bool(constant.any()):
        where = [tuple(i) for i in torch.nonzero(constant)[:5].tolist()]
        notes.append(
            f"{int(constant.sum())} features are constant over the training rows, at "
            f"{', '.join(map(str, where))}: they keep their units. Drop them if you can."
        )
    return Scaling(mean, torch.where(constant, 1.0, deviation), quantum), notes


def _moments(x: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Return mean and deviation per feature, in two passes over float64 chunks."""
    count = x.shape[0]
    mean = sum(x[i : i + step].double().sum(0) for i in range(0, count, step)) / count
    square = sum((x[i : i + step].double() - mean).square().sum(0) for i in range(0, count, step))
    return torch.as_tensor(mean).float(), (torch.as_tensor(square) / count).sqrt().float()
