"""Norm of the mean gradient and noise of a batch's gradient, from inner products of batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.flow import PreconditionedFlow

__all__ = ["GradientNoise", "compare", "gradient_noise", "moments"]

WIDTH = 1.96  # deviations of a 95 % interval


@dataclass(frozen=True)
class GradientNoise:
    """Gradient of random batches at fixed weights.

    The signal is resolved if its square is above zero by 1.96 standard errors. If it is not, noise
    may be all there is: ``relative`` is NaN, ``high`` infinite, and ``low`` is the noise over the
    largest signal that fits the batches.

    Attributes:
        loss: Mean loss.
        norm: Norm of the mean gradient, corrected for the noise left in it; 0 where noise explains
            all of it.
        relative: Noise over signal, ``tr Cov(g) / |E g|^2``.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    loss: Tensor
    norm: Tensor
    relative: Tensor
    low: Tensor
    high: Tensor


def gradient_noise(
    flow: PreconditionedFlow, draw_loss: Callable[[PreconditionedFlow], Tensor], batches: int
) -> GradientNoise:
    """Measure the gradient of random batches at the flow's present weights.

    Args:
        flow: The flow.
        draw_loss: Returns the loss of a fresh batch.
        batches: Number of batches.
    """
    parameters = [p for p in flow.field.parameters() if p.requires_grad]
    losses, gradients = [], []
    for _ in range(batches):
        total = draw_loss(flow)
        parts = torch.autograd.grad(total, parameters, materialize_grads=True)
        gradients.append(torch.cat([part.flatten() for part in parts]).double())
        losses.append(total.detach().double())
    stack = torch.stack(gradients)
    return compare(torch.stack(losses).mean(), stack @ stack.T)


def compare(loss: Tensor, inner: Tensor) -> GradientNoise:
    """Compare signal and noise of gradients, with jackknife errors over batches.

    Args:
        loss: Mean loss, passed on.
        inner: Inner products of the gradients of the batches, ``batches batches``.
    """
    batches = inner.shape[0]
    every = torch.ones(batches, dtype=torch.bool, device=inner.device)
    square, noise = moments(inner, every)
    squares, logs = [], []
    for k in range(batches):
        rest = every.clone()
        rest[k] = False
        signal, spread = moments(inner, rest)
        squares.append(signal)
        logs.append((spread / signal).log())
    error = _jackknife(squares)
    norm = square.clamp(min=0).sqrt()
    if not bool(square > WIDTH * error) or not bool(torch.isfinite(torch.stack(logs)).all()):
        largest = square.clamp(min=0) + WIDTH * error
        nan, infinite = square.new_tensor(math.nan), square.new_tensor(math.inf)
        return GradientNoise(loss, norm, nan, noise / largest, infinite)
    ratio, width = noise / square, (WIDTH * _jackknife(logs)).exp()
    return GradientNoise(loss, norm, ratio, ratio / width, ratio * width)


def moments(inner: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the unbiased square of the mean gradient, and the trace of a batch's covariance.

    From inner products alone: the mean over different pairs is ``||E g||^2`` without bias, so it
    may be negative where that is small.
    """
    part = inner[rows][:, rows]
    n = part.shape[0]
    own = part.diagonal().mean()
    square = (part.sum() - part.diagonal().sum()) / (n * (n - 1))
    return square, own - square


def _jackknife(left_out: list[Tensor]) -> Tensor:
    """Return the standard error of an estimate, from its values with one batch left out."""
    return ((len(left_out) - 1) * torch.stack(left_out).var(correction=0)).sqrt()
