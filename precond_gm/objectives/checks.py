"""Checks of an objective, made once when it is composed, with float64 times in (0, 1).

A weight and a time law must be positive almost everywhere: then, and only then, does zero loss
against the marginal target mean a correct generator at all t.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from precond_gm.errors import (
    IncompatiblePartsError,
    InvalidInputError,
    ObjectiveWarning,
    SingularCellWarning,
)
from precond_gm.objectives.divergences.domain import Domain
from precond_gm.objectives.ends import behaviour, interior
from precond_gm.objectives.implied import ImpliedWeight
from precond_gm.objectives.objective import Objective
from precond_gm.values import TargetKind

__all__ = ["check_objective"]

END = 0.01  # the width of "next to an end" in what a vanishing emphasis costs


def check_objective(objective: Objective, implied: ImpliedWeight, *, strict: bool = False) -> None:
    """Check an objective on its path.

    Args:
        objective: The objective.
        implied: Implied weight of its cell.
        strict: Refuse a singular cell instead of warning.

    Raises:
        IncompatiblePartsError: A divergence that cannot judge in this space; a hole in the
            emphasis; a singular cell under ``strict``.
        InvalidInputError: A weight that is negative, infinite or not a number inside (0, 1).

    Warns:
        SingularCellWarning: The effective weight ``implied(t) w(t)`` is unbounded.
        ObjectiveWarning: Legal but costly: no Bregman divergence, an emphasis that vanishes at an
            end, a discrete grid, the same emphasis twice.
    """
    _check_space(objective)
    t = interior()
    weight = _weight_on(objective, implied, t)
    log_density = objective.time_law.log_density(t).detach().double()
    _check_hole(weight.log(), t, f"the weight {objective.weight!r}")
    _check_hole(log_density, t, f"the time law {objective.time_law!r}")
    _check_singular(objective, implied, strict)
    _warn_not_bregman(objective)
    _warn_discrete(objective)
    _warn_vanishing(objective, implied)
    _warn_twice(objective, implied(t).log(), weight.log(), log_density)


def _weight_on(objective: Objective, implied: ImpliedWeight, t: Tensor) -> Tensor:
    weight = objective.weight(t, implied.path.coefficients(t)).detach().double()
    wrong = ~torch.isfinite(weight) | (weight < 0)
    if bool(wrong.any()):
        first = int(torch.nonzero(wrong)[0])
        raise InvalidInputError(
            f"the weight {objective.weight!r} is {float(weight[first]):g} at t = "
            f"{float(t[first]):.4f}; a weight is positive and finite inside (0, 1). Add a small "
            f"epsilon to a denominator, or take the absolute value."
        )
    return weight


def _check_space(objective: Objective) -> None:
    divergence, have = objective.divergence, objective.prediction
    if have is not objective.loss_space and not divergence.is_translation_invariant:
        raise IncompatiblePartsError(
            f"{divergence!r} judges values in its own domain and cannot follow {have.value} into "
            f"the loss space {objective.loss_space.value}. Use loss_space={have.value!r}, or the "
            f"divergence 'squared' with the weight that this loss space implies."
        )
    if divergence.domain is not Domain.REAL and have not in (TargetKind.X1, TargetKind.X0):
        raise IncompatiblePartsError(
            f"{divergence!r} judges {divergence.domain.value}, which a {have.value} is not. Use "
            f"prediction='x1'."
        )


def _check_hole(log_value: Tensor, t: Tensor, name: str) -> None:
    """Refuse a value that is zero on two neighbouring times or more: an interval, not a point."""
    zero = torch.isneginf(log_value)
    if not bool((zero[1:] & zero[:-1]).any()):
        return
    hole = t[zero]
    raise IncompatiblePartsError(
        f"{name} is zero on an interval within t = {float(hole[0]):.3f} .. {float(hole[-1]):.3f} "
        f"({100 * float(zero.double().mean()):.0f} % of the times). Nothing is learned there, but "
        f"the sampler passes through. Keep it positive; a cut near t = 1 is the path's t_max, "
        f"where sampling stops as well."
    )


def _check_singular(objective: Objective, implied: ImpliedWeight, strict: bool) -> None:
    if implied.is_aligned:
        return
    coefficients = implied.path.coefficients
    effective = behaviour(
        lambda t: (implied(t) * objective.weight(t, coefficients(t)).detach()).log()
    )
    if effective.is_bounded:
        return
    have, want = implied.prediction.value, implied.loss_space.value
    text = (
        f"{have}-prediction with {want}-loss on {implied.path!r} multiplies the error of {have} by "
        f"{implied.formula}, which is unbounded. The aligned alternative is "
        f"prediction={have!r}, loss_space={have!r}; a weight that cancels the growth also works."
    )
    if strict:
        raise IncompatiblePartsError(text)
    warnings.warn(text, SingularCellWarning, stacklevel=4)


def _warn_not_bregman(objective: Objective) -> None:
    if not objective.divergence.is_bregman:
        _warn(
            f"{objective.divergence!r} is not a Bregman divergence: its minimiser is no longer the "
            f"conditional mean, so the trained field does not generate the data exactly, however "
            f"large the network. Use 'squared' unless the bias is wanted."
        )


def _warn_discrete(objective: Objective) -> None:
    if objective.time_law.is_discrete:
        _warn(
            f"{objective.time_law!r} draws finitely many times: what the network says between them "
            f"is never judged, and solvers use it. Sample on exactly this grid, or use 'uniform'."
        )


def _warn_vanishing(objective: Objective, implied: ImpliedWeight) -> None:
    law = objective.time_law
    ends = behaviour(lambda t: law.log_density(t).detach())
    edge = torch.tensor([END, 1 - END], dtype=torch.float64)
    below, above = law.cdf(edge).detach().double().tolist()
    for power, mass, end in ((ends.at_zero, below, 0), (ends.at_one, 1 - above, 1)):
        if power > 0:
            _warn(
                f"the time law {law!r} vanishes at t = {end}: times within {END} of it are drawn "
                f"{END / max(mass, 1e-300):.3g} times less often than uniformly, and are learned "
                f"with so much more variance."
            )
    coefficients = implied.path.coefficients

    def effective(t: Tensor) -> Tensor:
        return (implied(t) * objective.weight(t, coefficients(t)).detach()).log()

    if _is_flat(lambda t: objective.weight(t, coefficients(t)).detach().log()):
        return
    weights = behaviour(effective)
    near = torch.linspace(0, END, 101, dtype=torch.float64)[1:-1]
    whole = float(effective(interior()).exp().mean())
    for power, at, end in ((weights.at_zero, near, 0), (weights.at_one, 1 - near, 1)):
        if power > 0:
            share = float(effective(at).exp().mean()) / whole
            _warn(
                f"the weight {objective.weight!r} makes the emphasis vanish at t = {end}: errors "
                f"within {END} of it count {1 / max(share, 1e-300):.3g} times less than on average."
            )


def _warn_twice(objective: Objective, *logs: Tensor) -> None:
    """Notice that two of implied weight, weight and time law have the same shape."""
    names = (
        f"the loss space {objective.loss_space.value}",
        f"the weight {objective.weight!r}",
        f"the time law {objective.time_law!r}",
    )
    middle = slice(len(logs[0]) // 20, -len(logs[0]) // 20)
    shapes = [log[middle] for log in logs]
    for i in range(3):
        for j in range(i + 1, 3):
            size = float(shapes[i].max() - shapes[i].min())
            gap = shapes[i] - shapes[j]
            if size > 0.1 and float(gap.max() - gap.min()) < 0.05 * size:
                _warn(
                    f"{names[i]} and {names[j]} emphasise the same times in the same proportion, "
                    f"so the emphasis acts twice (it is squared). Keep one of the two."
                )


def _is_flat(log_value: Callable[[Tensor], Tensor]) -> bool:
    value = log_value(interior(99))
    return float(value.max() - value.min()) < 1e-6


def _warn(text: str) -> None:
    warnings.warn(text, ObjectiveWarning, stacklevel=5)
