r"""From a prediction to the processes that solvers run: forward at any noise level, and backward.

Every process is affine in the prediction, ``scale(t) * prediction + shift(t) * z``, so one
evaluation of the network serves them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.conversion import Affine, check_conversion, conversion
from precond_gm.paths.base import AbstractPath
from precond_gm.values import Dynamics, TargetKind

__all__ = ["FieldDynamics", "Predicts", "Process", "backward_process", "forward_process"]

FieldLike: TypeAlias = Callable[..., Tensor]
AffineOf: TypeAlias = Callable[[Tensor], Affine]
PROBES = (0.2, 0.5, 0.8)  # interior times at which a conversion is checked
START = 0.01  # where z_t is noise alone, x0, noise or score do not tell the dynamics: they do here
EDGE = 0.999  # a drift or a converted prediction is 0/0 at t = 1, where a run to noise begins


class Predicts(Protocol):
    """What a field predicts: an objective, or the part of one that sampling needs."""

    @property
    def prediction(self) -> TargetKind:
        """Kind of the prediction."""

    @property
    def gaussian_source(self) -> bool:
        """Whether the source is N(0, I) and independent of the data."""

    def mean(self, output: Tensor, /) -> Tensor:
        """Turn the field's output into the mean that it stands for."""


@dataclass(frozen=True)
class Process:
    """What a solver integrates.

    Attributes:
        dynamics: Velocity or drift.
        kind: Which of the two, so that solvers of the other kind are refused.
        diffusion: Scale sigma of the noise; zero for an ODE.
    """

    dynamics: Dynamics
    kind: TargetKind
    diffusion: float


class FieldDynamics:
    """Dynamics of a field, ``(t, z, label) -> velocity or drift``.

    Args:
        field: Callable ``(t, z, label) -> prediction``.
        objective: Turns outputs into means (logits into values, say).
        affine: Map from the mean to the dynamics at times t, or None where they are the same.
        start: Earliest time that is looked at; earlier ones have the dynamics of this one.
    """

    def __init__(
        self,
        field: FieldLike,
        objective: Predicts,
        affine: AffineOf | None,
        start: float = 0.0,
    ) -> None:
        self.field = field
        self.objective = objective
        self.affine = affine
        self.start = start

    def __call__(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Evaluate at times ``t`` (shape batch) and points ``z``."""
        t = t.clamp(min=self.start) if self.start else t
        mean = self.objective.mean(self.field(t, z, label))
        return mean if self.affine is None else self.affine(t)(mean, z)


def forward_process(
    field: FieldLike,
    path: AbstractPath,
    objective: Predicts,
    noise_level: float | None = None,
) -> Process:
    r"""Return the process from noise to data.

    Args:
        field: The network.
        path: The path that its prediction is of.
        objective: What it predicts.
        noise_level: None is the path's own process. Any level ``e >= 0`` has the same marginals:
            ``dz = (v + e score) dt + sqrt(2 e) dB``; 0 is the probability-flow ODE, and
            ``sigma**2 / 2`` gives the bridge's own SDE.

    Raises:
        IncompatiblePartsError: Velocity or score do not follow from the prediction.
        InvalidInputError: A negative noise level.

    References:
        2303.08797, section 2.4; 2409.08311.
    """
    if noise_level is None:
        if objective.prediction is path.kind:
            return Process(FieldDynamics(field, objective, None), path.kind, path.diffusion)
        affine = _to(path.kind, path, objective)
        dynamics = FieldDynamics(field, objective, affine, _start(affine))
        return Process(dynamics, path.kind, path.diffusion)
    if not noise_level >= 0:
        raise InvalidInputError(f"noise_level is 0 (an ODE) or positive; got {noise_level}.")
    velocity = _to(TargetKind.VELOCITY, path, objective)
    if noise_level == 0:
        dynamics = FieldDynamics(field, objective, velocity, _start(velocity))
        return Process(dynamics, TargetKind.VELOCITY, 0.0)
    score = _to(TargetKind.SCORE, path, objective)

    def drift(t: Tensor) -> Affine:
        v, s = velocity(t), score(t)
        return Affine(v.scale + noise_level * s.scale, v.shift + noise_level * s.shift)

    dynamics = FieldDynamics(field, objective, drift, _start(drift))
    return Process(dynamics, TargetKind.DRIFT, math.sqrt(2 * noise_level))


def backward_process(field: FieldLike, path: AbstractPath, objective: Predicts) -> Process:
    r"""Return the process from data to noise, in the reversed time ``s = 1 - t``.

    On ODE paths it is the velocity with its sign changed; on the bridge it is the backward drift
    ``(E[z0 | z_t] - z_t) / t`` with the same diffusion.

    Raises:
        IncompatiblePartsError: x0 does not follow from the prediction on the bridge.

    References:
        2409.08311.
    """
    is_own = objective.prediction is path.kind
    edge = 1.0 if is_own and path.kind is TargetKind.VELOCITY else EDGE
    if is_own:  # the network knows nothing of later times
        edge = min(edge, path.t_max)

    def forward_time(s: Tensor) -> Tensor:
        return (1 - s).clamp(max=edge)

    if path.kind is TargetKind.VELOCITY:
        velocity = _to(TargetKind.VELOCITY, path, objective)

        def reverse(s: Tensor) -> Affine:
            found = velocity(forward_time(s))
            return Affine(-found.scale, -found.shift)

        affine: AffineOf = reverse
    else:
        start = _to(TargetKind.X0, path, objective)

        def backward_drift(s: Tensor) -> Affine:
            t = forward_time(s)
            found = start(t)
            return Affine(found.scale / t, (found.shift - 1) / t)

        affine = backward_drift
    dynamics = FieldDynamics(
        lambda s, z, label: field(forward_time(s), z, label), objective, affine
    )
    return Process(dynamics, path.kind, path.diffusion)


def _start(affine: AffineOf) -> float:
    """Return the first time at which the dynamics follow from the prediction: 0, or just after."""
    found = affine(torch.zeros(1, dtype=torch.float64))
    is_defined = bool(torch.isfinite(found.scale + found.shift).all())
    return 0.0 if is_defined else START


def _to(kind: TargetKind, path: AbstractPath, objective: Predicts) -> AffineOf:
    """Return the conversion of the objective's mean to ``kind``, checked once."""
    gaussian = objective.gaussian_source
    probe = path.coefficients(torch.tensor(PROBES, dtype=torch.float64))
    check_conversion(probe, objective.prediction, kind, gaussian_source=gaussian)

    def affine(t: Tensor) -> Affine:
        return conversion(
            path.coefficients(t), objective.prediction, kind, gaussian_source=gaussian
        )

    return affine
