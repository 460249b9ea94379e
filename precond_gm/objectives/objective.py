"""The objective: what is predicted, where it is judged, how, and with which emphasis over t."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from precond_gm.errors import IncompatiblePartsError, InvalidInputError
from precond_gm.numerics.conversion import conversion
from precond_gm.numerics.rows import expand
from precond_gm.objectives.adaptive import AbstractAdaptive
from precond_gm.objectives.divergences.base import AbstractDivergence
from precond_gm.objectives.time_laws.base import AbstractTimeLaw
from precond_gm.objectives.weights.base import AbstractWeight
from precond_gm.objectives.weights.fixed import Constant
from precond_gm.values import LossTerms, PathSample, TargetKind

__all__ = ["Objective"]

UNIT = Constant()


class Objective(nn.Module):
    r"""Prediction x loss space x divergence x weight x time law.

    .. math::
        L = E_{t \sim D} E[ w(t) D_{t, z_t}(\text{target}, \text{prediction}) ]

    Where the factor between the two spaces is clamped, prediction and target are scaled down alike,
    so the minimiser stays the same.

    It is a module because a weight or a time law may have parameters or running statistics: as a
    part of the flow they are trained, moved and saved with it. Aligned with a constant weight, it
    costs one subtraction, one product and one mean. Build it with ``compose``, which checks it.

    Args:
        prediction: What the network estimates.
        loss_space: Where the loss compares; ``path.sample`` must be asked for this target.
        divergence: Divergence per row, target first.
        weight: Positive weight of each row.
        time_law: Law of t.
        gaussian_source: Whether the source is N(0, I) and independent of the data, so that every
            kind follows from every other on paths with noise.
        clamp: Largest factor between the two spaces is ``1 / clamp``; 0 for no bound.

    References:
        arXiv:2511.16599, section 4; arXiv:2602.10420.
    """

    def __init__(
        self,
        prediction: TargetKind,
        loss_space: TargetKind,
        divergence: AbstractDivergence,
        weight: AbstractWeight,
        time_law: AbstractTimeLaw,
        *,
        gaussian_source: bool = False,
        clamp: float = 0.0,
    ) -> None:
        super().__init__()
        self.prediction = prediction
        self.loss_space = loss_space
        self.divergence = divergence
        self.weight = weight
        self.time_law = time_law
        self.gaussian_source = gaussian_source
        self.clamp = clamp
        self._values_checked = False

    @functools.cached_property
    def _adaptive(self) -> tuple[AbstractAdaptive, ...]:
        return tuple(part for part in self.children() if isinstance(part, AbstractAdaptive))

    def forward(self, sample: PathSample, prediction: Tensor) -> LossTerms:
        """Judge the network's output at the points of ``sample``.

        Targets and outputs of the very first batch are checked against the domain of the
        divergence; later batches are not looked at, so that no training step waits for the device.

        Raises:
            IncompatiblePartsError: ``sample`` holds another target than ``loss_space``.
            InvalidInputError: The output has another shape than the target, or one of the two a
                value that the divergence cannot judge.
        """
        if sample.kind is not self.loss_space:
            raise IncompatiblePartsError(
                f"this objective compares in {self.loss_space.value}, but the sample holds the "
                f"target {sample.kind.value}. Draw it with path.sample(pairing, t, "
                f"target=objective.loss_space)."
            )
        if prediction.shape != sample.target.shape:
            raise InvalidInputError(
                f"the network gave {tuple(prediction.shape)} for a target of shape "
                f"{tuple(sample.target.shape)}. Both are (batch, *event)."
            )
        divergence = self.divergence.at(sample.t, sample.z_t)
        if not self._values_checked and not torch.compiler.is_compiling():
            divergence.check(sample.target, prediction.detach())
            self._values_checked = True
        target = sample.target
        if self.prediction is not self.loss_space:
            convert = conversion(
                sample.coefficients,
                self.prediction,
                self.loss_space,
                gaussian_source=self.gaussian_source,
            )
            if self.clamp:
                factor = convert.shrink(self.clamp)
                convert = convert.times(factor)
                target = expand(factor.to(target.dtype), target) * target
            prediction = convert(prediction, sample.z_t)
        per_row = divergence(target, prediction)
        weight = None if self.weight == UNIT else self.weight(sample.t, sample.coefficients)
        if self.training and self._adaptive:
            self._observe(sample.t, per_row.detach(), weight)
        return self._terms(sample, per_row, weight)

    def mean(self, output: Tensor) -> Tensor:
        """Turn the network's output into the mean it stands for (logits into values, say)."""
        return self.divergence.mean(output)

    def finish(self, mean: Tensor) -> Tensor:
        """Turn means at t = 1 into states that exist: bits, or classes; the same on R^d."""
        return self.divergence.finish(mean)

    def draw_times(
        self,
        n: int,
        *,
        t_max: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw n times from the law restricted to ``t <= t_max``."""
        return self.time_law.sample(n, t_max=t_max, device=device, dtype=dtype, generator=generator)

    def extra_repr(self) -> str:
        """Name the parts."""
        return (
            f"prediction={self.prediction.value}, loss_space={self.loss_space.value}, "
            f"divergence={self.divergence}, weight={self.weight}, time_law={self.time_law}, "
            f"clamp={self.clamp}"
        )

    def _observe(self, t: Tensor, per_row: Tensor, weight: Tensor | None) -> None:
        """Let adaptive parts learn from one batch."""
        for part in self._adaptive:
            part.observe(t, per_row, per_row if weight is None else per_row * weight.detach())

    def _terms(self, sample: PathSample, per_row: Tensor, weight: Tensor | None) -> LossTerms:
        """Average the rows with every factor there is, and no operation for one there is not."""
        for factor in (self.time_law.importance(sample.t), sample.weight):
            if factor is not None:
                weight = factor if weight is None else weight * factor
        loss = per_row if weight is None else weight * per_row
        penalty = self.weight.penalty(sample.t)
        if penalty is not None:
            loss = loss + penalty
        weight = torch.ones_like(per_row) if weight is None else weight
        return LossTerms(loss.mean(), per_row, weight)
