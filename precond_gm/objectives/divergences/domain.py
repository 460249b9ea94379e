"""Domains of targets, and the check of values where data enter."""

from __future__ import annotations

import enum

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError

__all__ = ["Domain", "check_domain", "refuse"]


class Domain(enum.Enum):
    """Where the targets of a divergence live; the value says it in words.

    ``SIMPLEX`` is a probability vector along the last axis; ``PSD`` and ``SPD`` are symmetric
    matrices in the last two axes.
    """

    REAL = "finite numbers"
    NONNEGATIVE = "numbers that are 0 or more"
    POSITIVE = "numbers above 0"
    UNIT = "numbers between the two values of a bit"
    SIMPLEX = "probability vectors along the last axis"
    PSD = "symmetric positive semidefinite matrices in the last two axes"
    SPD = "symmetric positive definite matrices in the last two axes"


def check_domain(domain: Domain, target: Tensor, name: str) -> None:
    """Check that every target lies in the domain.

    Raises:
        InvalidInputError: One does not; its row is named.
    """
    if not target.is_floating_point():
        raise InvalidInputError(f"{name}: targets are floating point; got {target.dtype}.")
    refuse(~torch.isfinite(target), domain, target, name)
    if domain is Domain.NONNEGATIVE:
        refuse(target < 0, domain, target, name)
    elif domain is Domain.POSITIVE:
        refuse(target <= 0, domain, target, name)
    elif domain is Domain.SIMPLEX:
        refuse(
            (target < 0) | ((target.sum(-1, keepdim=True) - 1).abs() > 1e-3), domain, target, name
        )
    elif domain in (Domain.PSD, Domain.SPD):
        _check_matrices(domain, target, name)


def refuse(wrong: Tensor, domain: Domain, target: Tensor, name: str) -> None:
    """Raise if any entry is wrong, naming the first.

    Raises:
        InvalidInputError: An entry is wrong.
    """
    if not bool(wrong.any()):
        return
    first = tuple(torch.nonzero(wrong)[0].tolist())
    rows = int(wrong.flatten(1).any(1).sum())
    raise InvalidInputError(
        f"{name}: targets are {domain.value}; got {float(target[first]):g} at row {first[0]}, "
        f"position {first[1:]} ({rows} of {target.shape[0]} rows are wrong). Rescale the data or "
        f"choose a divergence for them, such as 'squared'."
    )


def _check_matrices(domain: Domain, target: Tensor, name: str) -> None:
    if target.ndim < 3 or target.shape[-1] != target.shape[-2]:
        raise InvalidInputError(
            f"{name}: targets are {domain.value}; got rows of shape {tuple(target.shape[1:])}."
        )
    size = target.abs().amax((-2, -1))
    skew = (target - target.mT).abs().amax((-2, -1)) > 1e-4 * size
    least = torch.linalg.eigvalsh(target)[..., 0]
    floor = 1e-5 * size if domain is Domain.PSD else -1e-12 * size
    wrong = skew | (least < -floor) if domain is Domain.PSD else skew | (least <= -floor)
    refuse(wrong[..., None, None].expand_as(target), domain, target, name)
