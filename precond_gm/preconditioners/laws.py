r"""Gaussian laws per label from moments: which of them is believed is decided by held-out rows.

A label's sample covariance is noisy. Three estimates compete: the sample covariance itself; Ledoit
and Wolf's shrinkage, *on standardised features*, since towards a multiple of I in raw units it
would hide the small eigenvalues that whitening is for; and shrinkage towards the covariance pooled
within labels. The best held-out Gaussian likelihood wins. Everything is batched over blocks.

References:
    Ledoit and Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.blocks import BlockMoments

__all__ = ["check_spread", "complete", "factors", "ledoit_wolf", "log_likelihood", "pooled"]

Laws = list[BlockMoments | None]


def pooled(laws: Laws) -> BlockMoments:
    """Return the law within labels: mean of all rows, scatter about the labels' means."""
    there = [law for law in laws if law is not None]
    count = sum(law.count for law in there)
    mean = torch.stack([law.mean * (law.count / count) for law in there]).sum(0)
    return BlockMoments(count, mean, torch.stack([law.scatter for law in there]).sum(0))


def complete(laws: Laws) -> tuple[list[BlockMoments], tuple[str, ...]]:
    """Give labels with fewer than two rows the pooled law, and say which these are.

    Raises:
        InvalidInputError: Every feature is constant, or each label has one row.
    """
    common = pooled(laws)
    check_spread(
        common.scatter.diagonal(dim1=-2, dim2=-1), [law.count for law in laws if law is not None]
    )
    poor = [index for index, law in enumerate(laws) if law is None or law.count < 2]
    note = f"labels {poor} have fewer than 2 rows: they use the law pooled over all labels"
    whole = [common if law is None or law.count < 2 else law for law in laws]
    return whole, (note,) if poor else ()


def check_spread(variances: Tensor, counts: list[int]) -> None:
    """Check that rows vary within labels.

    Args:
        variances: Of the features, pooled within labels.
        counts: Rows of each label that has any.

    Raises:
        InvalidInputError: Every feature is constant within labels; or no label has two rows, so
            that nothing is known about how they vary.
    """
    if bool((variances > 0).any()):
        return
    if max(counts) < 2:
        raise InvalidInputError(
            f"no label has more than one row to fit on ({len(counts)} labels, {sum(counts)} rows; "
            f"a tenth is held out), so nothing is known about how rows vary within a label. Use "
            f"shared=True (one map for all labels) or fit without labels; 'hierarchical' pools "
            f"rare labels once some have two rows or more."
        )
    raise InvalidInputError(
        "every feature is constant within every label, so there is nothing to scale. "
        "Check the rows, or dequantise them first."
    )


def ledoit_wolf(law: BlockMoments, fourth: Tensor) -> Tensor:
    r"""Shrink towards the diagonal by the intensity of Ledoit and Wolf on standardised features.

    With ``R`` the correlation matrix of ``count`` rows, the intensity is
    ``min(1, (E|u|^4 - |R|_F^2) / count / |R - I|_F^2)``.

    Args:
        law: Sample moments.
        fourth: Mean of ``|u|^4`` of standardised, centred features, for each covariance.

    Returns:
        The covariance of each block.
    """
    covariance = law.covariance
    diagonal = torch.diag_embed(covariance.diagonal(dim1=-2, dim2=-1))
    deviation = covariance.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()
    safe = torch.where(deviation > 0, deviation, 1.0)
    correlation = covariance / (safe[..., :, None] * safe[..., None, :])
    off = correlation - torch.diag_embed(correlation.diagonal(dim1=-2, dim2=-1))
    distance = off.square().sum((-2, -1))
    noise = (fourth - correlation.square().sum((-2, -1))).clamp_min(0) / (law.count * law.repeats)
    share = torch.where(distance > noise, noise / distance, 1.0)
    return torch.lerp(covariance, diagonal, share[..., None, None])


def log_likelihood(held: BlockMoments, mean: Tensor, covariance: Tensor, floor: float) -> float:
    """Return the total log-likelihood of held-out rows under N(mean, covariance), from moments.

    ``floor`` times the largest variance is added, as a stand-in for the floor on eigenvalues that
    costs a Cholesky factor instead of a spectrum. A covariance that is singular even so scores
    minus infinity.
    """
    size = mean.shape[-1]
    jitter = floor * covariance.diagonal(dim1=-2, dim2=-1).amax()
    identity = torch.eye(size, dtype=covariance.dtype, device=covariance.device)
    factor, info = torch.linalg.cholesky_ex(covariance + jitter * identity)
    if bool(info.any()):
        return -math.inf
    spread = held.scatter + held.count * held.about(held.mean - mean)
    trace = torch.cholesky_solve(spread, factor).diagonal(dim1=-2, dim2=-1).sum()
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum() * held.repeats
    constant = mean.numel() * math.log(2 * math.pi)
    return -0.5 * float(trace + held.count * (log_det + constant))


def factors(
    covariances: Tensor, common: Tensor, floor: float
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Factor covariances ``L blocks k k`` for whitening.

    Args:
        covariances: Covariance of each label and block.
        common: The pooled one, from which a label whose rows are all equal takes its scale.
        floor: Smallest eigenvalue, relative to the label's largest.

    Returns:
        ``eigenvalue**-0.5`` in the order of falling variance, eigenvectors as columns, and a note
        where eigenvalues were raised to the floor.
    """
    values, vectors = torch.linalg.eigh(covariances)
    values, vectors = values.flip(-1), vectors.flip(-1)
    largest = values.amax((1, 2), keepdim=True)
    lowest = floor * torch.where(largest > 0, largest, torch.linalg.matrix_norm(common, 2).amax())
    low = int((values < lowest).sum())
    note = (
        f"{low} of {values.numel()} eigenvalues are below {floor:g} of their label's largest and "
        f"are raised to that: these directions stay narrow"
    )
    return torch.maximum(values, lowest).rsqrt(), vectors, (note,) if low else ()
