"""A flow's predictions beside the truth of each pair, at chosen times, in flat float64 rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.diagnostics.end_moments import EndMoments
from precond_gm.errors import InvalidInputError, NonFiniteError
from precond_gm.flow import PreconditionedFlow
from precond_gm.flow.entry import network_call
from precond_gm.numerics.covariance import EndCovariance
from precond_gm.numerics.noise import standard_normal
from precond_gm.numerics.rows import RowsLike, batches, check_label, check_rows, collect, flatten
from precond_gm.values import Batch, Coefficients, Pairing, PathSample

__all__ = [
    "LEAST_ROWS",
    "Basis",
    "Judged",
    "check_margin",
    "draw_pairs",
    "evaluating",
    "every_other",
    "inner_times",
    "pooled_covariance",
    "predictions",
    "rows_in_z",
    "warn_without_labels",
    "without_labels",
]

LEAST_ROWS = 8
_PAIRED_AT_ONCE = 256


@dataclass(frozen=True)
class Judged:
    """Rows at one time, flat, in float64.

    Attributes:
        t: The time.
        c: The path's coefficients there, one entry.
        z: Points z_t, shape ``batch dim``.
        target: What the pair says.
        prediction: What the network says.
        label: Labels, or None.
        weight: Weight of each pair, or None.
    """

    t: float
    c: Coefficients
    z: Tensor
    target: Tensor
    prediction: Tensor
    label: Tensor | None
    weight: Tensor | None

    def squares(self, error: Tensor, *bases: Tensor) -> Tensor:
        """Return the weighted squared error along each direction, shape ``batch dim``.

        Args:
            error: Rows, shape ``batch dim``.
            bases: Directions as columns. With two of them every other row is measured along the
                second, so that no half is looked at along directions that it chose itself.
        """
        shadow = torch.empty_like(error)
        for place, basis in enumerate(bases):
            part = slice(place, None, len(bases))
            shadow[part] = error[part] @ basis
        squares = shadow.square()
        return squares if self.weight is None else self.weight[:, None] * squares


@dataclass(frozen=True)
class Basis:
    """Eigenvalues of Sigma_t at every time, and its eigenvectors one time after the other.

    Attributes:
        covariance: Blocks of the pair's covariance.
        c: The path's coefficients at the times.
        values: Ascending eigenvalues, shape ``times dim``.
        shared: Eigenvectors as columns where they serve every t, else None.
    """

    covariance: EndCovariance
    c: Coefficients
    values: Tensor
    shared: Tensor | None

    @classmethod
    def of(cls, moments: EndMoments, c: Coefficients) -> Basis:
        """Return the basis of all rows behind the moments."""
        covariance = pooled_covariance(moments)
        shared = torch.linalg.eigh(covariance.data).eigenvectors if covariance.commutes else None
        return cls(covariance, c, covariance.spectrum(c), shared)

    def vectors(self, index: int) -> Tensor:
        """Return the eigenvectors at time ``index`` as columns, in the order of the values."""
        if self.shared is not None:
            return self.shared
        return torch.linalg.eigh(self.covariance.at(self.c)[index]).eigenvectors


def pooled_covariance(moments: EndMoments) -> EndCovariance:
    """Return the covariance blocks of all rows, whatever their label."""
    first, second = moments.pooled
    return moments.covariance(first.merge(second))


def rows_in_z(
    flow: PreconditionedFlow,
    x: RowsLike,
    label: Tensor | None,
    most: int | None,
    generator: torch.Generator,
    *,
    preconditioned: bool = False,
) -> Batch:
    """Return rows in z, shuffled, at most ``most`` of them; ``preconditioned`` rows are z already.

    Raises:
        InvalidInputError: NaN, another event shape than the flow's, fewer than 8 rows, labels for
            some rows only or out of range.
        NotFittedError: The preconditioner is not fitted.
    """
    if most is not None and most < LEAST_ROWS:
        raise InvalidInputError(
            f"max_rows is at least {LEAST_ROWS}, the fewest rows that a network is judged on; "
            f"got {most}."
        )
    batch = _together(x, label)
    if batch.x.shape[0] < LEAST_ROWS:
        raise InvalidInputError(
            f"a network is judged on at least {LEAST_ROWS} rows; got {batch.x.shape[0]}. "
            f"Give more rows."
        )
    check_label(batch.label, batch.x.shape[0], num_labels=flow.num_labels)
    order = torch.randperm(batch.x.shape[0], generator=generator, device=generator.device)
    order = order[:most].to(batch.x.device)
    some = None if batch.label is None else batch.label[order]
    if preconditioned:
        check_rows(batch.x, event_shape=flow.event_shape)
        return Batch(batch.x[order], some)
    return Batch(flow.precondition(batch.x[order], some), some)


def without_labels(num_labels: int) -> str:
    """Return what to say of a flow with labels that is judged without: legal, seldom meant."""
    return (
        f"the flow was wrapped with num_labels={num_labels}, and is judged without labels: by "
        f"what its network says when no label is given, which means nothing unless it was trained "
        f"so too. Give the label of each row."
    )


def warn_without_labels(flow: PreconditionedFlow, rows: Batch) -> None:
    """Warn the caller's caller that a flow with labels is judged without."""
    if rows.label is None and flow.num_labels is not None:
        warnings.warn(without_labels(flow.num_labels), UserWarning, stacklevel=3)


def check_margin(margin: float) -> None:
    """Check the share of the residual that is forgiven.

    Raises:
        InvalidInputError: Negative, NaN or infinite.
    """
    if not 0 <= margin < math.inf:
        raise InvalidInputError(
            f"margin is the share of an affine map's residual that is forgiven, finite and 0 or "
            f"more; got {margin}. The default is 0.05."
        )


def _together(x: RowsLike, label: Tensor | None) -> Batch:
    """Gather batches; labels belong to all of them or to none."""
    if isinstance(x, Tensor):
        return Batch(x, label)
    parts = list(batches(x, label))
    if len({part.label is None for part in parts}) > 1:
        bare = [index for index, part in enumerate(parts) if part.label is None]
        raise InvalidInputError(
            f"{len(bare)} of {len(parts)} batches carry no label (first: batch {bare[0]}), the "
            f"others do. Give a label for each row, or for none."
        )
    return collect(parts)


def inner_times(flow: PreconditionedFlow, times: int | Tensor) -> Tensor:
    """Return times as given, or the midpoints of equal parts of ``[0, flow.t_max]``.

    The ends themselves are left out: at t = 1 the data are seen as they are, and some targets are
    known exactly there.

    Raises:
        InvalidInputError: No times, or times outside [0, 1].
    """
    if not isinstance(times, Tensor):
        if times < 1:
            raise InvalidInputError(f"times is a number of at least 1 or a tensor; got {times}.")
        return (torch.arange(times, dtype=torch.float64) + 0.5) / times * flow.t_max
    t = times.detach().to("cpu", torch.float64)
    if t.ndim != 1 or not t.numel() or not bool(((t >= 0) & (t <= 1)).all()):
        raise InvalidInputError(
            f"times is a one-dimensional tensor within [0, 1]; got shape {tuple(t.shape)}, values "
            f"{t.flatten()[:3].tolist()} ..."
        )
    return t


def draw_pairs(flow: PreconditionedFlow, rows: Batch, generator: torch.Generator) -> Pairing:
    """Pair every data row with noise, in batches of a usual size."""
    z1, label, parts = rows.x, rows.label, []
    for start in range(0, z1.shape[0], _PAIRED_AT_ONCE):
        part = slice(start, start + _PAIRED_AT_ONCE)
        z0 = standard_normal(z1[part], generator)
        some = None if label is None else label[part]
        parts.append(flow.coupling.pair(z0, z1[part], some, generator=generator))
    labels = [part.label for part in parts if part.label is not None]
    weights = [part.weight for part in parts if part.weight is not None]
    return Pairing(
        torch.cat([part.z0 for part in parts]),
        torch.cat([part.z1 for part in parts]),
        torch.cat(labels) if labels else None,
        torch.cat(weights) if weights else None,
    )


def every_other(pairs: Pairing, first: int) -> Pairing:
    """Return the pairs in every other place from ``first`` on: half of shuffled pairs."""
    part = slice(first, None, 2)
    label = None if pairs.label is None else pairs.label[part]
    weight = None if pairs.weight is None else pairs.weight[part]
    return Pairing(pairs.z0[part], pairs.z1[part], label, weight)


@contextmanager
def evaluating(flow: PreconditionedFlow) -> Iterator[None]:
    """Put the network in eval mode without gradients, and every module back as it was.

    One by one, since an average shares modules with the flow in training.
    """
    modes = [(module, module.training) for module in flow.modules()]
    flow.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, was_training in modes:
            module.training = was_training


def predictions(
    flow: PreconditionedFlow, pairs: Pairing, t: Tensor, generator: torch.Generator
) -> Iterator[Judged]:
    """Yield what the network says at each time, on the same pairs.

    Raises:
        InvalidInputError: The network's output has another shape than the target.
        InvalidTypeError: The network refuses the rows' precision.
        NonFiniteError: The network gives NaN or infinity; the time and the share are named.
    """
    for time in t.tolist():
        batch = pairs.z1.new_full((pairs.z1.shape[0],), time)
        point: PathSample = flow.path.sample(
            pairs, batch, target=flow.objective.prediction, generator=generator
        )
        output = torch.cat(
            [
                flow.objective.mean(network_call(flow, flow.field, *part))
                for part in _chunks(batch, point.z_t, point.label)
            ]
        )
        if output.shape != point.target.shape:
            raise InvalidInputError(
                f"the network gave rows of shape {tuple(output.shape[1:])} for data of shape "
                f"{tuple(point.target.shape[1:])}. Diagnose the flow with the data it was made for."
            )
        _check_finite(output, time)
        yield Judged(
            time,
            flow.path.coefficients(torch.tensor([time], dtype=torch.float64, device=output.device)),
            flatten(point.z_t).double(),
            flatten(point.target).double(),
            flatten(output).double(),
            point.label,
            None if point.weight is None else point.weight.double(),
        )


def _check_finite(output: Tensor, time: float) -> None:
    bad = ~torch.isfinite(flatten(output)).all(1)
    if bool(bad.any()):
        count, rows = int(bad.sum()), output.shape[0]
        raise NonFiniteError(
            f"the network gives NaN or infinity at t = {time:.3g}, in {count} of {rows} rows "
            f"({100 * count / rows:.3g} %): there is nothing to judge. Go back to the last "
            f"checkpoint before that, and lower the learning rate or clip gradients."
        )


def _chunks(
    t: Tensor, z: Tensor, label: Tensor | None, size: int = 2048
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    for start in range(0, t.shape[0], size):
        part = slice(start, start + size)
        yield t[part], z[part], None if label is None else label[part]
