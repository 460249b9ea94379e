"""Spectra of data whose covariance would not fit in memory, per label where rows allow it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.diagnostics.ends import Ends
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.gram import Spectrum, between_spectrum, gram, gram_spectrum
from precond_gm.numerics.krylov import lanczos_spectrum
from precond_gm.numerics.variances import Variances

__all__ = ["ALL_ROWS", "BETWEEN", "WITHIN", "Large", "large_spectra"]

GRAM_ROWS = 6000
ALL_ROWS, WITHIN, BETWEEN = -2, -3, -4


@dataclass(frozen=True)
class Large:
    """Spectra of parts of the data.

    Attributes:
        parts: Spectrum and rows of each label, and under ``ALL_ROWS``, ``WITHIN`` and ``BETWEEN``.
        notes: What was left out and why, and how the spectra were found.
    """

    parts: dict[int, tuple[Spectrum, int]]
    notes: tuple[str, ...]


def large_spectra(ends: Ends) -> Large:
    """Return spectrum and rows for all rows, within and between labels, and for each label.

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
    return _by_lanczos(ends, rows)


def _by_products(ends: Ends) -> Large:
    pairs = list(ends)
    products, dim = gram([pair.z1 for pair in pairs]), pairs[0].z1.shape[1]
    rows = products.shape[0]
    one = torch.zeros(rows, dtype=torch.long, device=products.device)
    found = {ALL_ROWS: (gram_spectrum(products, one, dim), rows)}
    way = _said("from the inner products of the rows")
    labels = [pair.label for pair in pairs if pair.label is not None]
    if not labels:
        return Large(found, (way,))
    label = torch.cat(labels)
    found[WITHIN] = (gram_spectrum(products, label, dim), rows)
    found[BETWEEN] = (between_spectrum(products, label, dim), rows)
    single = []
    for name in torch.unique(label).tolist():
        index = torch.nonzero(label == name).flatten()
        if index.numel() < 2:
            single.append(name)
            continue
        part = gram_spectrum(products[index][:, index], one[index], dim)
        found[name] = (part, index.numel())
    if single:
        return Large(found, (f"no covariance within the labels {single}: one row each.", way))
    return Large(found, (way,))


def _by_lanczos(ends: Ends, rows: int) -> Large:
    seen: Variances | None = None
    names: set[int] = set()
    for pair in ends:
        part = Variances.of(pair.z1)
        seen = part if seen is None else seen.merge(part)
        if pair.label is not None:
            names |= set(torch.unique(pair.label).tolist())
    if seen is None:
        raise InvalidInputError("a covariance takes at least 2 rows; got 0. Give more rows.")
    mean, variance = seen.mean, seen.variance

    def apply(v: Tensor) -> Tensor:
        total = torch.zeros_like(v)
        for pair in ends:
            centred = pair.z1.double() - mean
            total += centred.T @ (centred @ v)
        return total / rows

    spectrum = lanczos_spectrum(
        apply, mean.shape[0], rank=rows - 1, diagonal=variance, device=mean.device
    )
    found, way = {ALL_ROWS: (spectrum, rows)}, _said(f"by Lanczos; {_quality(spectrum)}")
    if not names:
        return Large(found, (way,))
    left_out = (
        f"nothing is said about the labels {_listed(names)}, within or between them: with more "
        f"than {GRAM_ROWS:,} rows only the spectrum of all rows together is found. Give fewer "
        f"rows, or those of one label at a time."
    )
    return Large(found, (left_out, way))


def _said(way: str) -> str:
    return f"the covariance was not formed: the spectrum was found {way}."


def _quality(spectrum: Spectrum) -> str:
    if spectrum.error < 1:
        return f"its two ends have a relative error of at most {spectrum.error:.1g}"
    return (
        "its smallest eigenvalue did not converge and may be smaller, so that the condition "
        "number near t = 1 is a lower bound"
    )


def _listed(names: set[int]) -> str:
    """Return the labels, the first ten if there are more."""
    first = ", ".join(str(name) for name in sorted(names)[:10])
    return first if len(names) <= 10 else f"{first}, ... ({len(names):,} of them)"
