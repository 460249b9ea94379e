"""Checks and shapes of what a bridge is given: everything wrong is named before any work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError, InvalidTypeError

__all__ = [
    "ArrayLike",
    "as_covariance",
    "as_rows",
    "as_sigma",
    "as_times",
    "as_vector",
    "check_inside",
    "check_joint",
    "common_device",
    "common_dim",
]

ArrayLike: TypeAlias = "Tensor | float | Sequence[float] | Sequence[Sequence[float]]"

_ASYMMETRY = 1e-6  # relative; covariances of float32 rows are symmetric to about 1e-7


def as_times(t: Tensor | float, x: Tensor) -> Tensor:
    """Return times as float64 of shape ``1`` (one time for all rows) or ``batch``.

    An expanded tensor, such as the loop passes, is recognised by its stride: one matrix per time
    then serves all rows.

    Raises:
        InvalidInputError: Not one number per row; on the host also: outside [0, 1].
    """
    if isinstance(t, Tensor) and t.shape == x.shape[:1] and t.stride(0) == 0:
        t = t[0]
    t = torch.as_tensor(t, dtype=torch.float64, device=x.device)
    t = t.reshape(1) if t.ndim == 0 else t
    if t.ndim != 1 or t.shape[0] not in (1, x.shape[0]):
        raise InvalidInputError(
            f"t is one number, or one per row of shape ({x.shape[0]},); got shape "
            f"{tuple(t.shape)}. Flatten it first."
        )
    return check_inside(t)


def check_inside(t: Tensor) -> Tensor:
    """Return times of any shape.

    Raises:
        InvalidInputError: On the host: one of them is outside [0, 1].
    """
    if t.device.type == "cpu" and not bool(((t >= 0) & (t <= 1)).all()):
        flat = t.flatten()
        row = int(torch.nonzero(~((flat >= 0) & (flat <= 1)))[0])
        raise InvalidInputError(
            f"t is {float(flat[row]):.6g} at row {row}; times lie in [0, 1], 0 is noise and 1 is "
            f"data."
        )
    return t


def as_rows(z: Tensor, dim: int) -> Tensor:
    """View rows ``batch *event`` as ``batch dim``.

    Raises:
        InvalidTypeError: Not a floating tensor: a result in the dtype of integers is truncated.
        InvalidInputError: Another number of coordinates.
    """
    if not isinstance(z, Tensor) or not z.is_floating_point():
        got = z.dtype if isinstance(z, Tensor) else type(z).__name__
        cast = "z.float()" if isinstance(z, Tensor) else "torch.as_tensor(z, dtype=torch.float64)"
        raise InvalidTypeError(
            f"z holds floating point numbers, since the result has its dtype; got {got}. "
            f"Write {cast}."
        )
    if z.ndim < 2 or z[0].numel() != dim:
        raise InvalidInputError(
            f"z has shape {tuple(z.shape)}; this bridge takes rows (batch, *event) of {dim} "
            f"coordinates."
        )
    return z.reshape(z.shape[0], dim)


def as_sigma(sigma: float) -> float:
    """Return the noise scale.

    Raises:
        InvalidInputError: Negative or not finite.
    """
    if not math.isfinite(sigma) or sigma < 0:
        raise InvalidInputError(f"sigma is {sigma}; it is a finite number, 0 or more.")
    return float(sigma)


def common_device(*arrays: ArrayLike | None) -> torch.device:
    """Return the device of the first tensor, or the host."""
    return next((a.device for a in arrays if isinstance(a, Tensor)), torch.device("cpu"))


def common_dim(*arrays: ArrayLike | None) -> int:
    """Return the number of coordinates that the arrays speak of; numbers fit any."""
    sizes = {torch.as_tensor(a).shape[-1] for a in arrays if a is not None and _axes(a)}
    if len(sizes) > 1:
        raise InvalidInputError(
            f"means and covariances are of different dimensions: {sorted(sizes)}. All of them "
            f"have to have the same last axis."
        )
    return sizes.pop() if sizes else 1


def as_vector(value: ArrayLike, dim: int, device: torch.device, name: str) -> Tensor:
    """Return a float64 vector; a number is repeated.

    Raises:
        InvalidInputError: Another shape, NaN or infinity.
    """
    vector = torch.as_tensor(value, dtype=torch.float64, device=device)
    vector = vector.expand(dim) if vector.ndim == 0 else vector
    if vector.shape != (dim,) or not bool(torch.isfinite(vector).all()):
        raise InvalidInputError(
            f"{name} is a finite vector of {dim} numbers; got shape {tuple(vector.shape)}"
            f"{'' if vector.shape != (dim,) else ' with NaN or infinity in it'}."
        )
    return vector.contiguous()


def as_covariance(
    value: ArrayLike, dim: int, device: torch.device, name: str, *, symmetric: bool = True
) -> Tensor:
    """Return a float64 matrix: a number times the identity, a diagonal, or a full matrix.

    Raises:
        InvalidInputError: Another shape, NaN or infinity; where ``symmetric``: not symmetric, or
            not positive definite.
    """
    matrix = torch.as_tensor(value, dtype=torch.float64, device=device)
    if matrix.ndim < 2:
        matrix = torch.diag(matrix.expand(dim))
    if matrix.shape != (dim, dim) or not bool(torch.isfinite(matrix).all()):
        raise InvalidInputError(
            f"{name} is a finite matrix of shape ({dim}, {dim}), its diagonal, or a number; got "
            f"shape {tuple(matrix.shape)}."
        )
    if not symmetric:
        return matrix
    size = float(matrix.abs().max())
    gap = float((matrix - matrix.mT).abs().max())
    if gap > _ASYMMETRY * size:
        raise InvalidInputError(
            f"{name} is not symmetric: entries differ by up to {gap:.3g} from their mirror. "
            f"Pass (S + S.T) / 2 if that is rounding."
        )
    matrix = 0.5 * (matrix + matrix.mT)
    least = float(torch.linalg.eigvalsh(matrix)[0])
    if least <= dim * torch.finfo(torch.float64).eps * size:
        raise InvalidInputError(
            f"{name} is not positive definite: its smallest eigenvalue is {least:.3g}. Add a "
            f"ridge, or use PointMassBridge or EmpiricalBridge for targets without a density."
        )
    return matrix


def check_joint(cov0: Tensor, cov1: Tensor, cross: Tensor) -> None:
    """Check that a joint law with these blocks exists: the Schur complement has no negative part.

    Raises:
        InvalidInputError: It has.
    """
    half = torch.linalg.solve_triangular(torch.linalg.cholesky(cov0), cross, upper=False)
    least = float(torch.linalg.eigvalsh(cov1 - half.mT @ half)[0])
    if least < -_ASYMMETRY * float(cov1.abs().max()):
        raise InvalidInputError(
            f"cross is inconsistent with cov0 and cov1: the covariance of z1 given z0 would have "
            f"the eigenvalue {least:.3g}. Cov(z0, z1) is bounded by both covariances (a "
            f"correlation is at most 1)."
        )


def _axes(value: ArrayLike) -> int:
    return torch.as_tensor(value).ndim
