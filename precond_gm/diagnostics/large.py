"""Spectra of data whose covariance would not fit in memory, per label where rows allow it."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.diagnostics.ends import Ends
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.krylov import Spectrum, gram, gram_spectrum, lanczos_spectrum

__all__ = ["ALL_ROWS", "WITHIN", "Large", "large_spectra"]

GRAM_ROWS = 6000
ALL_ROWS, WITHIN = -2, -3
Large = dict[int, tuple[Spectrum, int]]


def large_spectra(ends: Ends) -> Large:
    """Return spectrum and rows for all rows, within labels and for each label.

    Up to 6,000 rows the inner products of the rows are formed, which gives every eigenvalue; with
    more rows the data are read once per Lanczos step, for all rows together only.

    Raises:
        InvalidInputError: A dependent coupling or a source that is not N(0, I).
    """
    if ends.is_paired or ends.source is not None:
        raise InvalidInputError(
            "beyond some thousands of dimensions Sigma_t is measured for independent ends and an "
            "N(0, I) source only: a cross-covariance cannot be estimated from fewer rows than "
            "dimensions. Use coupling='independent' and source=None."
        )
    rows = sum(pair.z1.shape[0] for pair in ends)
    if rows <= GRAM_ROWS:
        return _by_products(ends)
    return {ALL_ROWS: (_by_lanczos(ends, rows), rows)}


def _by_products(ends: Ends) -> Large:
    pairs = list(ends)
    products, dim = gram([pair.z1 for pair in pairs]), pairs[0].z1.shape[1]
    one = torch.zeros(products.shape[0], dtype=torch.long, device=products.device)
    found = {ALL_ROWS: (gram_spectrum(products, one, dim), products.shape[0])}
    labels = [pair.label for pair in pairs if pair.label is not None]
    if not labels:
        return found
    label = torch.cat(labels)
    found[WITHIN] = (gram_spectrum(products, label, dim), products.shape[0])
    for name in torch.unique(label).tolist():
        index = torch.nonzero(label == name).flatten()
        part = gram_spectrum(products[index][:, index], one[index], dim)
        found[name] = (part, index.numel())
    return found


def _by_lanczos(ends: Ends, rows: int) -> Spectrum:
    mean = torch.stack([pair.z1.double().sum(0) for pair in ends]).sum(0) / rows

    def apply(v: Tensor) -> Tensor:
        total = torch.zeros_like(v)
        for pair in ends:
            centred = pair.z1.double() - mean
            total += centred.T @ (centred @ v)
        return total / rows

    return lanczos_spectrum(apply, mean.shape[0], device=mean.device)
