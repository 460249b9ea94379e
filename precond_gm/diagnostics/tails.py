"""How heavy the tails of rows are: moments with their worth, and the tail index."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.diagnostics.step_size.replicates import controlled_mean
from precond_gm.numerics.statistics import Estimate

__all__ = ["Moment", "moments_of", "repeated_share", "tail_index"]

POWERS = (2, 4, 6, 8)


@dataclass(frozen=True)
class Moment:
    """``(E|z|^p)^(1/p)`` and what the estimate is worth.

    Attributes:
        power: The power p.
        root: The p-th root of the moment, with a 95 % jackknife interval.
        largest_share: Share of the sum that one single row carries: near 1, nothing is known.
    """

    power: int
    root: Estimate
    largest_share: float


def moments_of(rows: Tensor) -> tuple[Moment, ...]:
    """Return the moments of the norm up to the eighth.

    Args:
        rows: Rows ``n dim``.
    """
    norm = rows.double().norm(dim=1)
    scale = norm.max().clamp_min(torch.finfo(torch.float64).tiny)
    found = []
    for power in POWERS:
        each = (norm / scale) ** power
        root = controlled_mean(each[:, None]).map(
            lambda v, p=power: scale.cpu() * v.clamp_min(0) ** (1 / p)  # type: ignore[misc]
        )
        value, half = float(root.value), root.quantile * float(root.standard_error)
        found.append(
            Moment(
                power,
                Estimate(value, max(0.0, value - half), value + half),
                float(each.max() / each.sum()),
            )
        )
    return tuple(found)


def tail_index(rows: Tensor) -> Estimate:
    r"""Estimate the tail index of the norm by the moment estimator on the largest rows.

    Moments below the index are finite, those above are not; light tails have index infinity. With
    :math:`M_r` the mean r-th power of log-ratios to the threshold,

    .. math:: \frac{1}{\text{index}} = M_1 + 1 - \frac{1}{2 (1 - M_1^2 / M_2)}

    Unlike Hill's estimator it may be negative, so bounded and Gaussian tails are told from heavy
    ones. The largest :math:`n^{2/3}` rows are used.

    Args:
        rows: Rows ``n dim``, centred.

    Returns:
        The index, with a 95 % interval; infinite where the inverse is not positive.

    References:
        Dekkers, Einmahl and de Haan (1989), Annals of Statistics 17.

    Example:
        >>> import torch
        >>> u = torch.rand(10_000, 1, generator=torch.Generator().manual_seed(0)).double()
        >>> 2 < tail_index(u ** (-1 / 3)).value < 4  # a Pareto law of index 3
        True
    """
    norm = rows.double().norm(dim=1).sort(descending=True).values
    count = max(2, min(norm.shape[0] - 1, round(norm.shape[0] ** (2 / 3))))
    threshold = norm[count]
    if not float(threshold) > 0:
        return Estimate(math.inf, math.inf, math.inf)
    logs = (norm[:count] / threshold).log()
    first, second = float(logs.mean()), float(logs.square().mean())
    if not second > first**2:
        return Estimate(math.inf, math.inf, math.inf)
    inverse = first + 1 - 0.5 / (1 - first**2 / second)
    half = 1.96 * math.sqrt((1 + max(inverse, 0.0) ** 2) / count)
    return Estimate(
        *(1 / v if v > 0 else math.inf for v in (inverse, inverse + half, inverse - half))
    )


def repeated_share(rows: Tensor) -> Tensor:
    """Return, for each feature, the share of rows whose value another row has too.

    A law with a density has none; grey levels, counts and constants have nearly all.
    """
    ordered = rows.sort(0).values
    same = ordered[1:] == ordered[:-1]
    edge = torch.zeros_like(same[:1])
    return (torch.cat((same, edge)) | torch.cat((edge, same))).double().mean(0)
