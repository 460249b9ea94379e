"""A flow's predictions beside the truth of each pair, at chosen times, in flat float64 rows."""

from __future__ import annotations

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
from precond_gm.numerics.rows import flatten
from precond_gm.values import Coefficients, Pairing, PathSample

__all__ = ["Basis", "Judged", "evaluating", "pooled_covariance", "predictions"]


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
