r"""The divergence of the ends where the exact law is known, but is no Gaussian.

A run's last step is normal, so its density at x is a mean over rows, with no kernel to choose:

.. math:: q(x) = E\, N(x; Y_{n-1} + h b(t_{n-1}, Y_{n-1}), \sigma^2 h I)

The exact process that takes one Euler step at the end, on the same noise, has a density
:math:`p_1` of the same form, whose error is nearly the same: with the exact density p,

.. math::
    \log \frac qp(x) \approx \log \frac{\hat q}{\hat p_1}(x) + \log \frac{p_1}p(x), \qquad
    \mathrm{KL}(p \,\|\, q) = E_p \left[ \frac qp - 1 - \log \frac qp \right]

at fresh draws of p. The last ratio is a mean over steps back in time, drawn near x and weighted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from precond_gm.closed_form import AbstractBridge
from precond_gm.diagnostics.step_size.replicates import GROUPS, Replicates
from precond_gm.numerics.noise import standard_normal
from precond_gm.numerics.rows import flatten

__all__ = ["DENSITY", "density_divergence"]

DENSITY = (
    "KL(target || generated), from the density of the last step over all rows, beside the exact "
    "process on the same noise"
)
_POINTS = 2048  # draws of the target; the relative error of a mean of squares is then 3 %
_BACK = 128  # steps back from each
_LEAST_NEIGHBOURS = 20.0  # rows that make up the density at the median point
_PAIRS_AT_ONCE = 2**21


class _Density(NamedTuple):
    """Log-density at points: entry 0 from all rows, then without each group of rows."""

    log: Tensor
    neighbours: Tensor


def density_divergence(
    bridge: AbstractBridge,
    grids: Sequence[Tensor],
    landing: Sequence[Tensor],
    truth_landing: Sequence[Tensor],
    *,
    generator: torch.Generator,
) -> tuple[Replicates | None, str]:
    """Estimate KL(target || generated) at the end of each run.

    Args:
        bridge: The exact law, with noise.
        grids: Times of each run.
        landing: Where the last step of a run goes without its noise, one ``m *event`` per grid.
        truth_landing: The same for a step from the exact process.
        generator: Source of the points.

    Returns:
        The divergence, shape ``grids``, and what it is; None and the reason where the rows are too
        few for a density.
    """
    found = []
    for times, mine, exact in zip(grids, landing, truth_landing, strict=True):
        end, h = float(times[-1]), float(times[-1] - times[-2])
        x = bridge.sample(end, min(_POINTS, mine.shape[0]), generator=generator).to(mine.device)
        variance = bridge.sigma**2 * h
        run, beside = (_density(x, flatten(rows).double(), variance) for rows in (mine, exact))
        least = float(torch.minimum(run.neighbours, beside.neighbours).median())
        if least < _LEAST_NEIGHBOURS:
            return None, (
                f"not estimated: {least:.1f} of {mine.shape[0]} rows make up the density at a "
                f"point, and {_LEAST_NEIGHBOURS:g} are needed. Use more rows or fewer dimensions"
            )
        one_step, noise = _one_step(bridge, x, end, h, generator)
        ratio = run.log - beside.log + one_step
        each = torch.expm1(ratio) - ratio - 0.5 * noise
        found.append(_mean(each).debiased())
    return Replicates(
        torch.stack([part.value for part in found]),
        torch.stack([part.left_out for part in found], -1),
    ), DENSITY


def _density(x: Tensor, centres: Tensor, variance: float) -> _Density:
    """Return the log of the mean of ``N(x; centre, variance I)`` over centres."""
    group = torch.arange(centres.shape[0], device=x.device) % GROUPS
    member = torch.nn.functional.one_hot(group, GROUPS).to(x.dtype)
    rest = torch.cat((centres.new_tensor([0.0]), member.sum(0)))
    logs, neighbours = [], []
    for part in torch.split(x, max(1, _PAIRS_AT_ONCE // centres.shape[0])):
        square = torch.cdist(part, centres).square() / (2 * variance)
        nearest = square.amin(1, keepdim=True)
        weight = torch.exp(nearest - square)
        total = weight.sum(1, keepdim=True)
        sums = torch.cat((total, total - weight @ member), 1)
        sums = sums.clamp_min(torch.finfo(x.dtype).tiny)
        logs.append((sums / (centres.shape[0] - rest)).log() - nearest)
        neighbours.append(total[:, 0].square() / weight.square().sum(1))
    constant = 0.5 * x.shape[1] * math.log(2 * math.pi * variance)
    return _Density(torch.cat(logs).T - constant, torch.cat(neighbours))


def _one_step(
    bridge: AbstractBridge, x: Tensor, end: float, h: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return ``log(p_1 / p)`` at the points, and the variance that it has from its draws."""
    scale = bridge.sigma * math.sqrt(h)
    back = x + h * bridge.backward_drift(end, x)
    noise = standard_normal(x.expand(_BACK, *x.shape), generator)
    y = (back + scale * noise).flatten(0, 1)
    landed = (y + h * bridge.drift(end - h, y)).view_as(noise)
    gap = (x - landed).square().sum(-1) / (2 * scale**2)
    log = bridge.log_density(end - h, y).view(_BACK, -1) - gap + 0.5 * noise.square().sum(-1)
    log = log - bridge.log_density(end, x)
    mean = log.logsumexp(0) - math.log(_BACK)
    return mean, torch.expm1(log - mean).square().mean(0) / (_BACK - 1)


def _mean(each: Tensor) -> Replicates:
    """Average ``1 + groups points`` over points; a replicate leaves a group of them out too."""
    point = torch.arange(each.shape[1], device=each.device) % GROUPS
    kept = (point != torch.arange(GROUPS, device=each.device)[:, None]).to(each.dtype)
    left_out = (each[1:] * kept).sum(1) / kept.sum(1)
    return Replicates(each[0].mean().cpu(), left_out.cpu())
