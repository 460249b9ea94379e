"""Domains of targets, and the check of values where data enter."""

from __future__ import annotations

import enum

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError

__all__ = ["Domain", "check_domain", "check_outputs", "check_values", "refuse"]


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


ENDINGS = {
    Domain.NONNEGATIVE: "End the network with softplus(x), or with exp(x).",
    Domain.POSITIVE: "End the network with softplus(x) + 1e-6, or with exp(x).",
    Domain.SPD: "End the network with L L^T + eps I, L what it puts out and eps = 1e-3, say.",
}
"""How a network ends whose outputs lie in a domain."""

RESCALE = "Rescale the data or choose a divergence for them, such as 'squared'."


def check_domain(domain: Domain, target: Tensor, name: str) -> None:
    """Check that every target lies in the domain.

    Raises:
        InvalidInputError: One does not; its row is named.
    """
    if not target.is_floating_point():
        raise InvalidInputError(f"{name}: targets are floating point; got {target.dtype}.")
    check_values(domain, target, name, "targets", RESCALE)


def check_outputs(domain: Domain, prediction: Tensor, name: str) -> None:
    """Check that every output of the network lies in the domain.

    Raises:
        InvalidInputError: One does not; its row is named, and how to end the network.
    """
    hint = ENDINGS.get(domain, "Look for the layer that gives them.")
    check_values(domain, prediction, name, "predictions", hint)


def check_values(domain: Domain, values: Tensor, name: str, what: str, hint: str) -> None:
    """Check that every value lies in the domain.

    Args:
        domain: The domain.
        values: One value, vector or matrix per row and position.
        name: Name of the divergence.
        what: What the values are, in the plural.
        hint: What to do about it, a sentence.

    Raises:
        InvalidInputError: One does not; its row is named.
    """
    wrong = ~torch.isfinite(values)
    if domain is Domain.NONNEGATIVE:
        wrong |= values < 0
    elif domain is Domain.POSITIVE:
        wrong |= values <= 0
    elif domain is Domain.SIMPLEX:
        wrong |= (values < 0) | ((values.sum(-1, keepdim=True) - 1).abs() > 1e-3)
    elif domain in (Domain.PSD, Domain.SPD) and not bool(wrong.any()):
        wrong = _wrong_matrices(domain, values, name, what)
    refuse(wrong, domain, values, name, what=what, hint=hint)


def refuse(
    wrong: Tensor,
    domain: Domain,
    values: Tensor,
    name: str,
    *,
    what: str = "targets",
    hint: str = RESCALE,
) -> None:
    """Raise if any entry is wrong, naming the first.

    Args:
        wrong: Which entries are, in the shape of the values.
        domain: Where the values should live.
        values: The values.
        name: Name of the divergence.
        what: What the values are.
        hint: What to do about it, a sentence.

    Raises:
        InvalidInputError: An entry is wrong.
    """
    if not bool(wrong.any()):
        return
    first = tuple(torch.nonzero(wrong)[0].tolist())
    rows = int(wrong.flatten(1).any(1).sum())
    raise InvalidInputError(
        f"{name}: {what} are {domain.value}; got {float(values[first]):g} at row {first[0]}, "
        f"position {first[1:]} ({rows} of {values.shape[0]} rows are wrong). {hint}"
    )


def _wrong_matrices(domain: Domain, values: Tensor, name: str, what: str) -> Tensor:
    """Return which matrices are not symmetric, or not (semi)definite, in the shape of the values.

    Eigenvalues are taken in float64: a matrix in float32 is judged, not the rounding of its
    eigenvalues.
    """
    if values.ndim < 3 or values.shape[-1] != values.shape[-2]:
        raise InvalidInputError(
            f"{name}: {what} are {domain.value}; got rows of shape {tuple(values.shape[1:])}."
        )
    size = values.abs().amax((-2, -1))
    skew = (values - values.mT).abs().amax((-2, -1)) > 1e-4 * size
    least = torch.linalg.eigvalsh(values.detach().cpu().double())[..., 0].to(values.device)
    wrong = least < -1e-5 * size if domain is Domain.PSD else least <= 1e-12 * size
    return (skew | wrong)[..., None, None].expand_as(values)
