r"""Spectra of matrices never formed: block Lanczos and its quadrature."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from precond_gm.numerics.gram import Spectrum

__all__ = ["lanczos_spectrum"]

_NUMBERS_AT_ONCE = 2**24
_BASIS_AT_MOST = 2**27  # numbers: 1 GiB of Lanczos vectors
_PROBES, _LEAST_STEPS, _MOST_STEPS, _CHECK_FACTOR = 8, 40, 200, 1.25
_TOLERANCE = 1e-3  # relative residual at which an end counts as found
_ALIKE = 1e-12  # spread, in units of the largest eigenvalue, that is rounding
_SETTLED = 1e-6  # residual, in units of the largest eigenvalue, of a value that is one eigenvalue


def lanczos_spectrum(
    apply: Callable[[Tensor], Tensor],
    dim: int,
    *,
    rank: int | None = None,
    diagonal: Tensor | None = None,
    device: torch.device | None = None,
    generator: torch.Generator | None = None,
) -> Spectrum:
    r"""Return both ends and the density of a covariance from products with vectors alone.

    Block Lanczos from random vectors. The ends are the extreme Ritz values, with the norm of the
    residual as error bound. It proves that *an* eigenvalue is that near; that none lies beyond it
    rests on the start: every eigenvector has its share of random vectors, the null space too. The
    density is the Gauss quadrature of the start (stochastic Lanczos quadrature): a few hundred
    nodes for any dimension. Eigenvalues found one by one count once; the weights of the other
    nodes add up to the other dimensions and, as far as they can, to the rest of the trace.

    Args:
        apply: Product with a block of vectors, ``dim p -> dim p``, float64.
        dim: Number of features.
        rank: At most so many eigenvalues are not zero, if that is known: the smallest is then
            exactly zero where ``rank < dim``.
        diagonal: The matrix's own, shape ``dim``, if it is known. It gives the trace, and bounds
            the smallest eigenvalue from above: a feature that is constant makes it zero.
        device: Where ``apply`` works.
        generator: Source of the probes; None is a fixed seed.

    References:
        Ubaru, Chen and Saad (2017), Fast estimation of tr f(A) by stochastic Lanczos quadrature.

    Example:
        >>> import torch
        >>> spectrum = torch.cat((torch.zeros(10), torch.linspace(1, 2, 490))).double()
        >>> found = lanczos_spectrum(lambda v: spectrum[:, None] * v, 500)
        >>> float(found.values[0])
        0.0
        >>> round(float(found.values[-1]), 3)
        2.0
    """
    source = generator if generator is not None else torch.Generator().manual_seed(0)
    start = torch.randn(
        dim, _PROBES, generator=source, device=source.device, dtype=torch.float64
    ).to(device)
    zeros = 0 if rank is None else max(dim - rank, 0)
    least = None if diagonal is None else float(diagonal.min())
    is_singular = zeros > 0 or least == 0
    ritz = _ritz(apply, start, is_singular=is_singular)
    top = float(ritz.values[-1])
    if top <= 0:
        return Spectrum(ritz.values.new_zeros(1), ritz.values.new_full((1,), dim))
    floor = dim * torch.finfo(torch.float64).eps * top
    values = torch.where(ritz.values > floor, ritz.values, 0.0)
    residual = ritz.residual.clamp_min(floor)  # rounding says no more
    error = 0.0 if is_singular or values[0] == 0 else float(residual[0] / values[0])
    if least is not None and least < float(values[0]):
        values[0] = least if least > floor else 0.0
        error = float(values[0] > 0)
    error = min(max(error, float(residual[-1]) / top), 1.0)
    if len(values) == dim:  # the whole space: no quadrature is left to do
        values[:zeros] = 0
        return Spectrum(values, torch.ones_like(values), error)
    return _density(replace(ritz, values=values), dim, zeros, diagonal, error)


@dataclass(frozen=True)
class _Ritz:
    """Ritz values, ascending, their quadrature weights (sum 1) and the norms of their residuals."""

    values: Tensor
    weights: Tensor
    residual: Tensor

    def has_ends(self, dim: int, *, is_singular: bool) -> bool:
        """Whether both ends are found; the smallest need not be where it is known to be zero."""
        found = self.residual <= _TOLERANCE * self.values.abs()
        floor = dim * torch.finfo(torch.float64).eps * self.values[-1]
        return bool(found[-1] & (found[0] | (self.values[0] <= floor) | is_singular))


def _ritz(apply: Callable[[Tensor], Tensor], start: Tensor, *, is_singular: bool) -> _Ritz:
    """Run block Lanczos with full reorthogonalisation until both ends are found."""
    dim = start.shape[0]
    most = min(_MOST_STEPS, max(_LEAST_STEPS, _BASIS_AT_MOST // start.numel()))
    q, first = torch.linalg.qr(start)
    basis = start.new_empty(dim, min(dim, most * q.shape[1]))
    diagonal: list[Tensor] = []
    off: list[Tensor] = []
    size, scale, check = 0, 0.0, _LEAST_STEPS
    for step in range(1, most + 1):
        basis[:, size : size + q.shape[1]] = q
        size += q.shape[1]
        w = apply(q)
        diagonal.append((q.T @ w + w.T @ q) / 2)
        scale = max(scale, float(diagonal[-1].norm()))
        for _ in range(2):  # twice is enough
            w = _apart(w, basis[:, :size])
        w, upper = torch.linalg.qr(w)
        turn, length, back = torch.linalg.svd(upper)
        rest = length[:, None] * back
        # What rounding alone leaves is no direction; the space is exhausted without any.
        new = int((length > dim * torch.finfo(w.dtype).eps * scale).sum())
        new = min(new, basis.shape[1] - size)
        is_last = not new or step == most
        if is_last or step == check:
            ritz = _of_blocks(diagonal, off, first, rest)
            if is_last or ritz.has_ends(dim, is_singular=is_singular):
                break
            check = math.ceil(_CHECK_FACTOR * step)
        q, again = torch.linalg.qr(_apart(w @ turn[:, :new], basis[:, :size]))
        off.append(again @ rest[:new])
    return ritz


def _apart(w: Tensor, basis: Tensor) -> Tensor:
    """Return the part of w orthogonal to the columns of the basis."""
    return w - basis @ (basis.T @ w)


def _of_blocks(
    diagonal: Sequence[Tensor], off: Sequence[Tensor], first: Tensor, rest: Tensor
) -> _Ritz:
    """Diagonalise the block tridiagonal matrix.

    Args:
        diagonal: Blocks ``k_i k_i``.
        off: Blocks under the diagonal, ``k_{i+1} k_i``.
        first: The start in terms of the first block, ``k_1 probes``.
        rest: What leads out of the space, in terms of the last block, ``p k_last``.
    """
    ends = list(itertools.accumulate((block.shape[0] for block in diagonal), initial=0))
    places = [slice(*pair) for pair in itertools.pairwise(ends)]
    matrix = first.new_zeros(ends[-1], ends[-1])
    for place, block in zip(places, diagonal, strict=True):
        matrix[place, place] = block
    for (left, below), block in zip(itertools.pairwise(places), off, strict=True):
        matrix[below, left] = block
        matrix[left, below] = block.T
    values, vectors = torch.linalg.eigh(matrix)
    weights = (first.T @ vectors[: first.shape[0]]).square().sum(0)
    residual = (rest @ vectors[-rest.shape[1] :]).norm(dim=0)
    return _Ritz(values, weights / weights.sum(), residual)


def _density(ritz: _Ritz, dim: int, zeros: int, diagonal: Tensor | None, error: float) -> Spectrum:
    """Return the spectrum whose multiplicities add up to ``dim`` and, with them, to the trace."""
    values, width = ritz.values, _SETTLED * ritz.values[-1]
    near = torch.searchsorted(values, values + width, right=True)
    near -= torch.searchsorted(values, values - width)
    # A block of p vectors sees p copies of an eigenvalue that occurs p times or more: fewer
    # copies are all there are.
    is_fixed = (ritz.residual <= width) & (near < _PROBES)
    one = torch.ones_like(values)
    count = _weighted(values, torch.where(is_fixed, one, ritz.weights), is_fixed, dim, None)
    if zeros:  # they are the lowest part of the density
        above = (count.cumsum(0) - zeros).clamp_min(0)
        count = above.diff(prepend=above.new_zeros(1))
        values = torch.cat((values.new_zeros(1), values))
        count = torch.cat((count.new_full((1,), zeros), count))
        is_fixed = torch.cat((is_fixed.new_ones(1), is_fixed))
    ends = torch.zeros_like(is_fixed)
    ends[0] = ends[-1] = True
    count = torch.where(ends, count.clamp_min(1), count)
    trace = None if diagonal is None else float(diagonal.sum())
    count = _weighted(values, count, is_fixed | ends, dim, trace)
    kept = ends | (count > 0)
    return Spectrum(values[kept], count[kept], error)


def _weighted(
    values: Tensor, count: Tensor, is_fixed: Tensor, dim: int, trace: float | None
) -> Tensor:
    """Return the counts, those not fixed scaled to the total ``dim`` and tilted to the trace.

    The tilt is the smallest change in the sense of least squares, cut where a count would turn
    negative.
    """
    fixed = torch.where(is_fixed, count, 0.0)
    share = torch.where(is_fixed, 0.0, count)
    total = dim - float(fixed.sum())
    if total <= 0 or float(share.sum()) <= 0:
        return count
    share = share / share.sum()
    if trace is not None:
        mean = (share * values).sum()
        gap = values - mean
        spread = (share * gap.square()).sum()
        wanted = (trace - (fixed * values).sum()) / total - mean
        if spread > (_ALIKE * values[-1]) ** 2:
            inside = gap[share > 0]
            slope = (wanted / spread).clamp(-1 / inside.max(), -1 / inside.min())
            share = share * (1 + slope * gap).clamp_min(0)
            share = share / share.sum()
    return fixed + total * share
