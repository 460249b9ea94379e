r"""Gaussian laws per label from moments: which of them is believed is decided by held-out rows.

A label's sample covariance is noisy. Three estimates compete: the sample covariance itself; Ledoit
and Wolf's shrinkage, *on standardised features*, since towards a multiple of I in raw units it
would hide the small eigenvalues that whitening is for; and shrinkage towards the covariance pooled
within labels. The best held-out Gaussian likelihood wins.

References:
    Ledoit and Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.moments import Moments

__all__ = ["complete", "ledoit_wolf", "log_likelihood", "pooled", "towards"]


def pooled(laws: list[Moments | None]) -> Moments:
    """Return the law within labels: mean of all rows, scatter about the labels' means."""
    there = [law for law in laws if law is not None]
    count = sum(law.count for law in there)
    mean = torch.stack([law.mean * (law.count / count) for law in there]).sum(0)
    return Moments(count, mean, torch.stack([law.scatter for law in there]).sum(0))


def complete(laws: list[Moments | None]) -> tuple[list[Moments], tuple[str, ...]]:
    """Give labels with fewer than two rows the pooled law, and say which these are."""
    common = pooled(laws)
    poor = [index for index, law in enumerate(laws) if law is None or law.count < 2]
    if not bool((common.scatter.diagonal() > 0).any()):
        raise InvalidInputError(
            "every feature is constant within every label, so there is nothing to scale. "
            "Check the rows, or dequantise them first."
        )
    if poor and len(laws) > 1:
        note = f"labels {poor} have fewer than 2 rows: they use the law pooled over all labels"
        return [common if index in poor else law for index, law in enumerate(laws)], (note,)  # type: ignore[misc]
    return laws, ()  # type: ignore[return-value]


def towards(covariance: Tensor, target: Tensor, share: float) -> Tensor:
    """Return the mixture of a covariance and its target."""
    return torch.lerp(covariance, target, share)


def ledoit_wolf(covariance: Tensor, count: int, fourth: float) -> Tensor:
    r"""Shrink towards the diagonal by the intensity of Ledoit and Wolf on standardised features.

    With ``R`` the correlation matrix of ``count`` rows, the intensity is
    ``min(1, (E|u|^4 - |R|_F^2) / count / |R - I|_F^2)``.

    Args:
        covariance: Sample covariance.
        count: Rows behind it.
        fourth: Mean of ``|u|^4`` over rows u of standardised, centred features.
    """
    deviation = covariance.diagonal().clamp_min(0).sqrt()
    safe = torch.where(deviation > 0, deviation, 1.0)
    correlation = covariance / torch.outer(safe, safe)
    target = correlation.diagonal()
    distance = float((correlation - torch.diag(target)).square().sum())
    noise = max(0.0, fourth - float(correlation.square().sum())) / count
    share = 1.0 if distance <= noise else noise / distance
    return towards(covariance, torch.diag(covariance.diagonal()), share)


def log_likelihood(held: Moments, mean: Tensor, covariance: Tensor, floor: float) -> float:
    """Return the total log-likelihood of held-out rows under N(mean, covariance), from moments.

    ``floor`` times the largest variance is added, as a stand-in for the floor on eigenvalues that
    costs a Cholesky factor instead of a spectrum. A covariance that is singular even so scores
    minus infinity.
    """
    dim = mean.shape[0]
    jitter = floor * covariance.diagonal().amax()
    factor, info = torch.linalg.cholesky_ex(covariance + jitter * torch.eye(dim).to(covariance))
    if int(info):
        return -math.inf
    gap = held.mean - mean
    spread = held.covariance + torch.outer(gap, gap)
    trace = torch.cholesky_solve(spread, factor).diagonal().sum()
    log_det = 2 * factor.diagonal().log().sum()
    return -0.5 * held.count * float(trace + log_det + dim * math.log(2 * math.pi))
