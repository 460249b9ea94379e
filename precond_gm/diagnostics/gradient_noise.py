"""Norm of the mean gradient and noise of a batch's gradient, from inner products of batches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from precond_gm.flow import PreconditionedFlow

__all__ = ["gradient_noise", "moments"]


def gradient_noise(
    flow: PreconditionedFlow, draw_loss: Callable[[PreconditionedFlow], Tensor], batches: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Measure the gradient of random batches at the flow's present weights.

    Args:
        flow: The flow.
        draw_loss: Returns the loss of a fresh batch.
        batches: Number of batches.

    Returns:
        Mean loss, norm of the mean gradient, relative noise, and both ends of its 95 % jackknife
        interval, which is symmetric in the logarithm.
    """
    parameters = [p for p in flow.field.parameters() if p.requires_grad]
    losses, gradients = [], []
    for _ in range(batches):
        total = draw_loss(flow)
        parts = torch.autograd.grad(total, parameters, materialize_grads=True)
        gradients.append(torch.cat([part.flatten() for part in parts]).double())
        losses.append(total.detach().double())
    stack = torch.stack(gradients)
    inner = stack @ stack.T
    every = torch.ones(batches, dtype=torch.bool)
    square, noise = moments(inner, every)
    left_out = []
    for k in range(batches):
        rest = every.clone()
        rest[k] = False
        signal, spread = moments(inner, rest)
        left_out.append((spread / signal).log())
    jackknife = torch.stack(left_out)
    error = ((batches - 1) * jackknife.var(correction=0)).sqrt()
    ratio = noise / square
    width = (1.96 * error).exp()
    return torch.stack(losses).mean(), square.sqrt(), ratio, ratio / width, ratio * width


def moments(inner: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the unbiased square of the mean gradient, and the trace of a batch's covariance.

    From inner products alone: the mean over different pairs is ``||E g||^2`` without bias.
    """
    part = inner[rows][:, rows]
    n = part.shape[0]
    own = part.diagonal().mean()
    square = (part.sum() - part.diagonal().sum()) / (n * (n - 1))
    return square.clamp(min=1e-12 * own), own - square
