"""Contract check of a divergence: run it on your own class."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.objectives.divergences import REGISTRY, AbstractDivergence, Domain

__all__ = ["check_divergence", "draw_targets"]

ROWS, EVENT = 64, (3, 3)


def draw_targets(domain: Domain, rows: int, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Draw targets of shape ``(rows, 3, 3)`` from the inside of a domain.

    Args:
        domain: The domain.
        rows: Number of rows.
        dtype: Type of the result.
    """
    noise = torch.randn(rows, *EVENT, generator=torch.Generator().manual_seed(0), dtype=dtype)
    if domain in (Domain.NONNEGATIVE, Domain.POSITIVE):
        return noise.exp()
    if domain is Domain.UNIT:
        return noise.sigmoid()
    if domain is Domain.SIMPLEX:
        return noise.softmax(-1)
    if domain in (Domain.PSD, Domain.SPD):
        return noise @ noise.mT + 0.5 * torch.eye(3, dtype=dtype)
    return noise


def check_divergence(divergence: str | AbstractDivergence) -> None:
    """Check that a divergence keeps its contract.

    One finite number per row; target first; targets of its domain pass its own check; ``mean`` and
    ``link`` undo each other; no prediction is better than the target itself; and, if it says that
    it is Bregman: the mean of the targets minimises it (oracle: autograd at the mean), and its
    gradient is linear in the target, which makes conditional and marginal gradients equal.

    Args:
        divergence: Name in the registry, or an instance. Events have shape (3, 3) here.

    Raises:
        AssertionError: With what is wrong.

    Example:
        >>> check_divergence("squared")
    """
    part = REGISTRY.resolve(divergence)
    for dtype in (torch.float32, torch.float64):
        _check_shape(part, dtype)
    _check_link(part)
    _check_best(part)
    if part.is_bregman:
        _check_mean(part)
        _check_linear(part)
    if part.is_translation_invariant:
        _check_invariant(part)


def _check_shape(part: AbstractDivergence, dtype: torch.dtype) -> None:
    target = draw_targets(part.domain, ROWS, dtype=dtype)
    guess = part.link(target.flip(0))
    part.check(target, guess)
    value = part(target, guess)
    assert value.shape == (ROWS,), f"{part!r}: one number per row, got shape {tuple(value.shape)}"
    assert value.dtype == dtype, f"{part!r}: {value.dtype} for rows in {dtype}"
    assert bool(torch.isfinite(value).all()), f"{part!r}: not finite inside its domain"
    rows = torch.cat([part(target[k : k + 1], guess[k : k + 1]) for k in range(4)])
    torch.testing.assert_close(
        value[:4], rows, msg=f"{part!r}: the value of a row depends on the other rows"
    )


def _check_link(part: AbstractDivergence) -> None:
    target = draw_targets(part.domain, ROWS)
    torch.testing.assert_close(
        part.mean(part.link(target)), target, msg=f"{part!r}: mean does not undo link"
    )


def _check_best(part: AbstractDivergence) -> None:
    target = draw_targets(part.domain, ROWS)
    own, other = part(target, part.link(target)), part(target, part.link(target.flip(0)))
    assert bool((other > own).all()), f"{part!r}: another prediction beats the target itself"


def _gradient(part: AbstractDivergence, target: Tensor, at: Tensor) -> Tensor:
    """Return the gradient in the prediction of the mean divergence from ``target`` at one point."""
    guess = at.expand_as(target).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(part(target, guess).sum(), guess)
    return gradient


def _check_mean(part: AbstractDivergence) -> None:
    target = draw_targets(part.domain, ROWS)
    centre = part.link(target.mean(0, keepdim=True))
    gradient = _gradient(part, target, centre)
    size = float(gradient.abs().mean())
    drift = float(gradient.mean(0).abs().max())
    assert drift < 1e-9 * max(size, 1.0), (
        f"{part!r}: the mean of the targets does not minimise it (mean gradient {drift:.3g}, "
        f"{size:.3g} per row). Is the target first? Otherwise set is_bregman = False"
    )


def _check_linear(part: AbstractDivergence) -> None:
    target = draw_targets(part.domain, ROWS)
    at = part.link(target[:1])
    mixed = _gradient(part, target.mean(0, keepdim=True), at)
    apart = _gradient(part, target, at).mean(0, keepdim=True)
    torch.testing.assert_close(
        mixed,
        apart,
        rtol=1e-8,
        atol=1e-9,
        msg=f"{part!r}: the gradient is not linear in the target, so conditional and marginal "
        f"losses have different gradients. Set is_bregman = False",
    )


def _check_invariant(part: AbstractDivergence) -> None:
    target = draw_targets(part.domain, ROWS)
    guess = target.flip(0)
    torch.testing.assert_close(
        part(target, guess),
        part(target + 1.5, guess + 1.5),
        msg=f"{part!r}: a common shift changes it; set is_translation_invariant = False",
    )
