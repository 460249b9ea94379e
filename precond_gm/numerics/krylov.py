r"""Spectra of matrices never formed: the Gram trick, Lanczos ends, Lanczos quadrature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.numerics.spectrum import eigenvalues

__all__ = ["Spectrum", "gram", "gram_spectrum", "lanczos_spectrum"]

_NUMBERS_AT_ONCE = 2**24
_PROBES, _STEPS, _TOLERANCE = 8, 40, 1e-3


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues and how often each occurs.

    Attributes:
        values: Ascending, shape ``k``.
        multiplicity: Number of eigenvalues at each value; need not be whole for a quadrature.
        error: Bound of the relative error of the two ends; zero for a direct computation.
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
    names, index = torch.unique(group, return_inverse=True)
    member = torch.nn.functional.one_hot(index, len(names)).to(products)
    average = member / member.sum(0)
    shifted = products - member @ (average.T @ products)
    centred = shifted - (shifted @ average) @ member.T
    found = eigenvalues(centred / rows)[-dim:]
    positive = found[found > 0]
    zeros = dim - positive.numel()
    if not zeros:
        return Spectrum(positive, torch.ones_like(positive))
    values = torch.cat((positive.new_zeros(1), positive))
    multiplicity = torch.ones_like(values)
    multiplicity[0] = zeros
    return Spectrum(values, multiplicity)


def lanczos_spectrum(
    apply: Callable[[Tensor], Tensor],
    dim: int,
    *,
    device: torch.device | None = None,
    generator: torch.Generator | None = None,
) -> Spectrum:
    r"""Return both ends and the density of a covariance from products with vectors alone.

    The ends come from ARPACK (``scipy.sparse.linalg.eigsh``), with the residual norm as error
    bound; where the smallest does not converge, the residual says how far off it may be. The
    density is the mean of Gauss quadratures over random probes (stochastic Lanczos quadrature):
    nodes with weights, a few hundred numbers for any dimension.

    Args:
        apply: Product with a block of vectors, ``dim p -> dim p``, float64.
        dim: Number of features.
        device: Where ``apply`` works.
        generator: Source of the probes; None is a fixed seed.

    References:
        Ubaru, Chen and Saad (2017), Fast estimation of tr f(A) by stochastic Lanczos quadrature.
    """
    source = generator if generator is not None else torch.Generator().manual_seed(0)
    start = torch.randn(
        dim, _PROBES, generator=source, device=source.device, dtype=torch.float64
    ).to(device)
    values, weights = _quadrature(apply, start, min(_STEPS, dim))
    ends, error = _ends(apply, start[:, 0])
    inside = (values > ends[0]) & (values < ends[1])
    values = torch.cat((ends[:1], values[inside], ends[1:]))
    share = weights[inside] / weights[inside].sum()
    one = share.new_ones(1)
    return Spectrum(values, torch.cat((one, (dim - 2) * share, one)), error)


def _ends(apply: Callable[[Tensor], Tensor], start: Tensor) -> tuple[Tensor, float]:
    """Return smallest and largest eigenvalue and the larger of their relative residuals."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    dim = start.shape[0]

    def matvec(v: object) -> object:
        block = torch.as_tensor(v, dtype=torch.float64).reshape(-1, 1).to(start.device)
        return apply(block)[:, 0].cpu().numpy()

    operator = LinearOperator((dim, dim), matvec=matvec, dtype="float64")
    found, errors = [], []
    for which in ("SA", "LA"):
        options = {"k": 1, "which": which, "v0": start.cpu().numpy(), "maxiter": 10 * _STEPS}
        try:
            value, vector = eigsh(operator, tol=_TOLERANCE, **options)
        except ArpackNoConvergence as stopped:
            value, vector = stopped.eigenvalues, stopped.eigenvectors
        if not len(value):  # not even one: the density's own end is all there is
            found.append(float("inf") if which == "SA" else 0.0)
            errors.append(1.0)
            continue
        v = torch.as_tensor(vector[:, :1]).to(start)
        residual = float((apply(v) - float(value[0]) * v).norm())
        found.append(max(float(value[0]), 0.0))
        errors.append(residual / max(abs(float(value[0])), torch.finfo(torch.float64).tiny))
    return torch.tensor(found, dtype=torch.float64, device=start.device), min(max(errors), 1.0)


def _quadrature(
    apply: Callable[[Tensor], Tensor], start: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Run Lanczos from every column at once; return Ritz values and their mean weights."""
    q = start / start.norm(dim=0)
    basis, diagonal, off = [q], [], []
    for step in range(steps):
        w = apply(basis[-1])
        diagonal.append((w * basis[-1]).sum(0))
        for _ in range(2):  # full reorthogonalisation, twice is enough
            for b in basis:
                w = w - b * (b * w).sum(0)
        norm = w.norm(dim=0)
        scale = diagonal[0].abs().clamp_min(torch.finfo(w.dtype).tiny)
        if step + 1 == steps or bool((norm < 1e-10 * scale).any()):
            break  # the space is exhausted: the quadrature is exact
        off.append(norm)
        basis.append(w / norm)
    tridiagonal = torch.diag_embed(torch.stack(diagonal, 1))
    if off:
        upper = torch.diag_embed(torch.stack(off, 1), offset=1)
        tridiagonal = tridiagonal + upper + upper.mT
    values, vectors = torch.linalg.eigh(tridiagonal)
    flat, weights = values.flatten(), vectors[:, 0].square().flatten() / start.shape[1]
    order = flat.argsort()
    return flat[order].clamp_min(0), weights[order]
