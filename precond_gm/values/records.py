"""Frozen records that cross the borders between the parts."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from precond_gm.values.kinds import TargetKind

__all__ = ["Batch", "Coefficients", "LossTerms", "Pairing", "PathSample", "Samples", "Transformed"]


@dataclass(frozen=True)
class Batch:
    """Rows of data and their labels.

    Attributes:
        x: Rows, shape ``batch *event``.
        label: Integer class of each row, or None.
    """

    x: Float[Tensor, "batch *event"]
    label: Int[Tensor, "batch"] | None = None


@dataclass(frozen=True)
class Transformed:
    """Image of a batch under a reversible map.

    Attributes:
        value: The image, of the shape of the input.
        log_abs_det: ``log |det J|`` of the map that was applied, one number per row.
    """

    value: Float[Tensor, "batch *event"]
    log_abs_det: Float[Tensor, "batch"]


@dataclass(frozen=True)
class Pairing:
    """Coupled ends of a path.

    Attributes:
        z0: Source rows.
        z1: Data rows, in preconditioned coordinates.
        label: Label of each data row, or None.
        weight: Weight of each pair in the loss, mean one, or None for equal weights.
    """

    z0: Float[Tensor, "batch *event"]
    z1: Float[Tensor, "batch *event"]
    label: Int[Tensor, "batch"] | None = None
    weight: Float[Tensor, "batch"] | None = None


@dataclass(frozen=True)
class Coefficients:
    r"""Coefficients of ``z_t = alpha z0 + beta z1 + gamma eps`` with their slopes in t.

    ``variance`` is ``gamma**2``: its slope stays finite where that of ``gamma`` does not.

    Attributes:
        alpha, alpha_slope: Weight of the source end and its derivative.
        beta, beta_slope: Weight of the data end and its derivative.
        variance, variance_slope: ``gamma**2`` and its derivative.
        diffusion: Scale sigma of the SDE ``dz = b dt + sigma dB`` whose drift the path's
            ``DRIFT`` is; zero on ODE paths.
        drift_rate: Factor of ``gamma eps`` in the drift, ``(variance_slope - sigma**2) /
            (2 variance)``, in a form that is finite at t = 0. None on ODE paths.
        has_noise: Whether gamma is not identically zero (a property of the path, not of t).
    """

    alpha: Float[Tensor, "batch"]
    alpha_slope: Float[Tensor, "batch"]
    beta: Float[Tensor, "batch"]
    beta_slope: Float[Tensor, "batch"]
    variance: Float[Tensor, "batch"]
    variance_slope: Float[Tensor, "batch"]
    diffusion: float = 0.0
    drift_rate: Float[Tensor, "batch"] | None = None
    has_noise: bool = False


@dataclass(frozen=True)
class PathSample:
    """A point on the path of every pair, with what the network should say there.

    Attributes:
        t: Times in [0, 1], shape ``batch``.
        z_t: Points on the path.
        target: Value of ``kind`` for the pair.
        kind: What ``target`` is.
        label: Label of each row, or None.
        coefficients: The path's coefficients at ``t``.
        weight: Weight of each pair, or None.
    """

    t: Float[Tensor, "batch"]
    z_t: Float[Tensor, "batch *event"]
    target: Float[Tensor, "batch *event"]
    kind: TargetKind
    label: Int[Tensor, "batch"] | None
    coefficients: Coefficients
    weight: Float[Tensor, "batch"] | None = None


@dataclass(frozen=True)
class LossTerms:
    """A loss and its parts; ``total.backward()`` trains.

    Attributes:
        total: Weighted mean over rows, a scalar.
        per_row: Divergence of each row before weighting (summed over the event).
        weight: Weight of each row.
    """

    total: Float[Tensor, ""]
    per_row: Float[Tensor, "batch"]
    weight: Float[Tensor, "batch"]


@dataclass(frozen=True)
class Samples:
    """Generated rows.

    Attributes:
        x: Rows in data coordinates.
        label: Label of each row, or None.
        trajectory: States in z at every time of the grid, shape ``times batch *event``, or None.
        num_evals: Evaluations of the network per row.
    """

    x: Float[Tensor, "batch *event"]
    label: Int[Tensor, "batch"] | None
    trajectory: Float[Tensor, "times batch *event"] | None
    num_evals: int
