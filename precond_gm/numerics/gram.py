"""Spectra of covariances of few wide rows, from the inner products of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.numerics.spectrum import eigenvalues

__all__ = ["Spectrum", "between_spectrum", "gram", "gram_spectrum"]

_NUMBERS_AT_ONCE = 2**24


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues and how often each occurs.

    Attributes:
        values: Ascending, shape ``k``.
        multiplicity: Number of eigenvalues at each value; need not be whole for a quadrature.
        error: Bound of the relative error of the two ends; zero for a direct computation. The
            smallest is never too small: at 1, all that is known is that it is at most this.
    """

    values: Tensor
    multiplicity: Tensor
    error: float = 0.0


def gram(pieces: Sequence[Tensor]) -> Tensor:
    """Return the inner products of all centred rows in float64, a block of features at a time.

    Args:
        pieces: Rows, ``batch dim`` each.
    """
    rows = sum(piece.shape[0] for piece in pieces)
    dim, device = pieces[0].shape[1], pieces[0].device
    total = torch.zeros(rows, rows, dtype=torch.float64, device=device)
    width = max(1, _NUMBERS_AT_ONCE // rows)
    for start in range(0, dim, width):
        block = torch.cat([piece[:, start : start + width] for piece in pieces]).double()
        block -= block.mean(0)
        total.addmm_(block, block.T)
    return total


def gram_spectrum(products: Tensor, group: Tensor, dim: int) -> Spectrum:
    """Return the spectrum of the covariance of rows that are centred on their group's mean.

    The non-zero eigenvalues of ``X^T X`` and of ``X X^T`` are the same, and the rest are zeros.

    Args:
        products: Inner products of the rows, shape ``rows rows``.
        group: Group of each row; one group for the plain covariance.
        dim: Number of features.
    """
    rows = products.shape[0]
    member = _membership(products, group)
    average = member / member.sum(0)
    shifted = products - member @ (average.T @ products)
    centred = shifted - (shifted @ average) @ member.T
    return _with_zeros(eigenvalues(centred / rows)[-dim:], dim)


def between_spectrum(products: Tensor, group: Tensor, dim: int) -> Spectrum:
    """Return the spectrum of the covariance of the groups' means, weighted by their rows.

    Args:
        products: Inner products of the rows, centred on the mean of all, shape ``rows rows``.
        group: Group of each row.
        dim: Number of features.
    """
    member = _membership(products, group)
    scaled = member / (products.shape[0] * member.sum(0)).sqrt()
    found = eigenvalues(scaled.T @ products @ scaled)
    rank = min(dim, found.numel() - 1)  # the weighted means add up to zero
    return _with_zeros(found[found.numel() - rank :], dim)


def _membership(products: Tensor, group: Tensor) -> Tensor:
    """Return which row is in which group, ones and zeros of shape ``rows groups``."""
    names, index = torch.unique(group, return_inverse=True)
    return torch.nn.functional.one_hot(index, len(names)).to(products)


def _with_zeros(found: Tensor, dim: int) -> Spectrum:
    """Return the spectrum of ``dim`` eigenvalues of which these are all that may not be zero."""
    positive = found[found > 0]
    zeros = dim - positive.numel()
    if not zeros:
        return Spectrum(positive, torch.ones_like(positive))
    values = torch.cat((positive.new_zeros(1), positive))
    multiplicity = torch.ones_like(values)
    multiplicity[0] = zeros
    return Spectrum(values, multiplicity)
