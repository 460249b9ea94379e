"""Contract check of a preconditioner: run it on your own class."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.rows import flatten
from precond_gm.preconditioners import REGISTRY, AbstractPreconditioner, FitReport
from precond_gm.values import InverseKind

__all__ = ["check_preconditioner"]

_LABELS, _ROWS = 3, 300
_CASES: tuple[tuple[tuple[int, ...], torch.dtype, bool], ...] = (
    ((4,), torch.float64, True),
    ((4,), torch.float64, False),
    ((4,), torch.float32, True),
    ((1, 4, 4), torch.float32, True),
)  # event shape, dtype, labelled


def check_preconditioner(preconditioner: str | AbstractPreconditioner, max_steps: int = 3) -> None:
    """Check that a preconditioner keeps its contract.

    It is fitted on a known mixture, with labels and without, on vectors and images, in float32 and
    float64, for a few steps, and must then: undo itself within its own tolerance, in both
    directions, and for rows 40 deviations out unless it refuses them; give a log-determinant that
    agrees with autograd's Jacobian and with the inverse's; treat rows on their own; tell labels
    apart if it says so; be frozen; report finite numbers; survive ``state_dict``, ``build`` and
    ``deepcopy`` unchanged; refuse use before the fit, another shape and missing labels. Where a
    class takes only some event shapes, it says so by ``InvalidInputError`` at the fit, and the
    others are checked.

    Args:
        preconditioner: Name in the registry, or an instance (copied before each fit).
        max_steps: Optimiser steps of each fit.

    Raises:
        AssertionError: With what is wrong.

    Example:
        >>> check_preconditioner("whiten")
    """
    part = REGISTRY.resolve(preconditioner)
    _check_unfitted(part)
    accepted = 0
    for event, dtype, labelled in _CASES:
        x, label = _mixture(event, dtype)
        fitted = copy.deepcopy(part)
        try:
            report = fitted.fit(
                x,
                label if labelled else None,
                num_labels=_LABELS if labelled else None,
                max_steps=max_steps,
                generator=torch.Generator().manual_seed(1),
            )
        except InvalidInputError:
            continue
        accepted += 1
        _check_fitted(fitted, report, x[:32], label[:32] if labelled else None)
    assert accepted, f"{_name(part)} could be fitted on none of the cases {_CASES}."


def _mixture(event: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Draw one correlated Gaussian per label, within (0, 1) so that bounded maps take it, too."""
    draw = torch.Generator().manual_seed(3)
    dim = math.prod(event)
    label = torch.arange(_ROWS) % _LABELS
    turns = torch.randn(_LABELS, dim, dim, generator=draw, dtype=torch.float64)
    turns = torch.linalg.qr(turns)[0] * torch.logspace(-1, 0, dim, dtype=torch.float64)
    rows = torch.randn(_ROWS, dim, 1, generator=draw, dtype=torch.float64)
    x = torch.sigmoid((turns[label] @ rows)[..., 0] + label[:, None] - 1)
    return x.reshape(_ROWS, *event).to(dtype), label


def _check_unfitted(part: AbstractPreconditioner) -> None:
    name = _name(part)
    assert isinstance(part.inverse_kind, InverseKind), f"{name}.inverse_kind is an InverseKind."
    assert all(hasattr(part, option) for option in part.options)
    if part.is_fitted or not part.needs_fit:
        return
    try:
        part(torch.zeros(2, 3))
    except RuntimeError:
        return
    raise AssertionError(f"{name} maps rows before it is fitted; raise NotFittedError.")


def _check_fitted(
    part: AbstractPreconditioner, report: FitReport, x: Tensor, label: Tensor | None
) -> None:
    name = _name(part)
    assert part.event_shape == tuple(x.shape[1:]), f"{name}.event_shape is not that of the rows."
    assert part.num_labels in (None, _LABELS), f"{name}.num_labels is {part.num_labels}."
    assert math.isfinite(report.log_likelihood), f"{name} reports no finite likelihood."
    assert not any(p.requires_grad for p in part.parameters()), f"{name} is not frozen."
    assert not part.training, f"{name} is not in eval mode after the fit."
    with torch.no_grad():
        _check_round_trip(part, x, label)
        _check_far_rows(part, x, label)
        _check_rows(part, x, label)
        _check_labels(part, x, label)
        _check_copies(part, x, label)
    if x[0].numel() <= 4:
        _check_log_det(part, x[:2], None if label is None else label[:2])
    _check_refusals(part, x, label)


def _check_round_trip(part: AbstractPreconditioner, x: Tensor, label: Tensor | None) -> None:
    there = part(x, label)
    back = part.inverse(there.value, label)
    name, tolerance = _name(part), _tolerance(part, x.dtype)
    assert there.value.shape == x.shape, f"{name} changes the shape of rows."
    assert there.value.dtype == x.dtype, f"{name} changes the dtype of rows to {there.value.dtype}."
    assert there.log_abs_det.shape == x.shape[:1], f"{name}.log_abs_det is not one number per row."
    error = float((back.value - x).abs().max() / x.abs().max())
    assert error <= tolerance, f"{name}: round trip off by {error:.2g}, allowed {tolerance:.2g}."
    gap = float((there.log_abs_det + back.log_abs_det).abs().max())
    allowed = tolerance * 100 * x[0].numel()
    assert gap <= allowed, f"{name}: log-determinants of map and inverse disagree by {gap:.2g}."
    z = torch.randn(x.shape, generator=torch.Generator().manual_seed(5), dtype=x.dtype)
    again = part(part.inverse(z, label).value, label).value
    error = float((again - z).abs().max() / z.abs().max())
    allowed = tolerance * 1000  # z may be stretched against x: in f32 that costs digits
    assert error <= allowed, f"{name}: z to x to z off by {error:.2g}, allowed {allowed:.2g}."


def _check_far_rows(part: AbstractPreconditioner, x: Tensor, label: Tensor | None) -> None:
    far = x.mean(0) + 40 * (x - x.mean(0))
    try:
        back = part.inverse(part(far, label).value, label).value
    except InvalidInputError:
        return  # outside the domain of a bounded map, and refused
    name, allowed = _name(part), 100 * _tolerance(part, x.dtype)  # slopes are extreme there
    error = float((back - far).abs().max() / far.abs().max())
    assert error <= allowed, (
        f"{name}: rows 40 deviations out come back with an error of {error:.2g}, allowed "
        f"{allowed:.2g}; refuse them with InvalidInputError if the map is bounded."
    )


def _check_rows(part: AbstractPreconditioner, x: Tensor, label: Tensor | None) -> None:
    whole = part(x, label)
    one = part(x[7:8], None if label is None else label[7:8])
    close = torch.allclose(whole.value[7:8], one.value, rtol=1e-3, atol=1e-3)
    assert close, f"{_name(part)}: the image of a row depends on the other rows of the batch."
    again = part(x, label).value
    assert torch.equal(whole.value, again), f"{_name(part)} gives two images of the same rows."


def _check_labels(part: AbstractPreconditioner, x: Tensor, label: Tensor | None) -> None:
    if label is None or part.num_labels is None:
        return
    other = part(x, (label + 1) % _LABELS).value
    differs = not torch.allclose(part(x, label).value, other)
    assert differs, f"{_name(part)} says that it uses labels, and does not."


def _check_copies(part: AbstractPreconditioner, x: Tensor, label: Tensor | None) -> None:
    name, expected = _name(part), part(x, label).value
    assert torch.equal(copy.deepcopy(part)(x, label).value, expected), f"{name}: deepcopy differs."
    fresh = type(part)(**part.options)
    assert part.event_shape is not None
    fresh.build(part.event_shape, part.num_labels)
    fresh.to(x.dtype)
    state = {key: value.clone() for key, value in part.state_dict().items()}
    fresh.load_state_dict(state, strict=True)
    fresh.eval()
    got = fresh(x, label).value
    assert torch.equal(got, expected), f"{name}: build and load_state_dict do not restore the map."


def _check_log_det(part: AbstractPreconditioner, x: Tensor, label: Tensor | None) -> None:
    for row in range(x.shape[0]):
        one = x[row : row + 1]
        own = None if label is None else label[row : row + 1]

        def image(flat: Tensor, own: Tensor | None = own, one: Tensor = one) -> Tensor:
            return flatten(part(flat.reshape(one.shape), own).value)[0]

        jacobian = torch.autograd.functional.jacobian(image, flatten(one)[0])  # type: ignore[no-untyped-call]
        expected = float(torch.linalg.slogdet(jacobian.to(torch.float64)).logabsdet)
        got = float(part(one, own).log_abs_det[0].detach())
        allowed = max(1e-3, _tolerance(part, x.dtype) * 100) * (1 + abs(expected))
        assert abs(got - expected) <= allowed, (
            f"{_name(part)}: log-determinant {got:.6g}, autograd's Jacobian gives {expected:.6g}."
        )


def _check_refusals(part: AbstractPreconditioner, x: Tensor, label: Tensor | None) -> None:
    name = _name(part)
    try:
        part(x[:, :1] if x.shape[1] > 1 else x[..., :1], label)
    except ValueError:
        pass
    else:
        raise AssertionError(f"{name} takes rows of another shape than it was fitted on.")
    if part.num_labels is not None:
        try:
            part(x)
        except ValueError:
            return
        raise AssertionError(f"{name} was fitted with labels and does not ask for them.")


def _tolerance(part: AbstractPreconditioner, dtype: torch.dtype) -> float:
    """Closed forms gain the digits of float64; iterations stop where they say."""
    if dtype is torch.float64 and part.inverse_kind is InverseKind.CLOSED_FORM:
        return 1e-9
    return max(part.tolerance, 1e-5)


def _name(part: AbstractPreconditioner) -> str:
    return type(part).__name__
