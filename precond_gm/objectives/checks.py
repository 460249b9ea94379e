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
from precond_gm.numerics.conversion import check_conversion
from precond_gm.objectives.divergences.domain import Domain
from precond_gm.objectives.divergences.not_bregman import UserDivergence
from precond_gm.objectives.double_emphasis import warn_of_double_emphasis
from precond_gm.objectives.ends import Ends, behaviour, interior
from precond_gm.objectives.implied import ImpliedWeight, target_power
from precond_gm.objectives.objective import Objective
from precond_gm.objectives.weights.fixed import UserWeight
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
            end, a discrete grid, the same emphasis twice, a loss that can train itself.
    """
    _check_space(objective)
    t = interior()
    weight = _weight_on(objective, implied, t)
    law = objective.time_law
    log_density = law.log_density(t).detach().double()
    _check_hole(weight.log(), t, f"the weight {objective.weight!r}")
    _check_hole(log_density, t, f"the time law {law!r}")
    _check_singular(objective, implied, strict)
    _check_target(objective, implied, strict)
    _warn_not_sampled(objective, implied)
    _warn_not_bregman(objective)
    _warn_discrete(objective)
    _warn_vanishing(objective, implied)
    _warn_trainable(objective)
    warn_of_double_emphasis(
        objective, t, implied(t).log(), weight.log(), law.log_emphasis(t).detach().double()
    )


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
    """Warn of an effective weight ``implied(t) w(t)`` without a bound, and name its cause."""
    coefficients = implied.path.coefficients
    effective = behaviour(
        lambda t: (implied(t) * objective.weight(t, coefficients(t)).detach()).log()
    )
    if effective.is_bounded:
        return
    have, want = implied.prediction.value, implied.loss_space.value
    if implied.ends.is_bounded:
        text = (
            f"the weight {objective.weight!r} on {have}-prediction with {want}-loss is unbounded "
            f"in t. Bound it: 'inverse-remaining' has eps and clamp, 'min-snr' a largest value."
        )
    else:
        text = (
            f"{have}-prediction with {want}-loss on {implied.path!r} multiplies the error of "
            f"{have} by {implied.formula}, which is unbounded. The aligned alternative is "
            f"prediction={have!r}, loss_space={have!r}; a weight that cancels the growth also "
            f"works."
        )
    _singular(text, strict)


def _check_target(objective: Objective, implied: ImpliedWeight, strict: bool) -> None:
    """Warn of an aligned loss that diverges all the same, because its target does.

    A cut of the time law at the path's t_max cures the end at 1, and sampling stops there too.
    """
    path, have = implied.path, implied.prediction
    if not implied.is_aligned:
        return
    power = target_power(path, have)
    emphasis = behaviour(
        lambda t: (
            objective.weight(t, path.coefficients(t)).detach().log()
            + objective.time_law.log_emphasis(t).detach()
        )
    )
    is_cut = have is path.kind and path.t_max < 1
    at_zero = power.at_zero < 0 and power.at_zero + emphasis.at_zero <= -1
    at_one = power.at_one < 0 and power.at_one + emphasis.at_one <= -1 and not is_cut
    if not (at_zero or at_one):
        return
    default = path.default_prediction.value
    _singular(
        f"the target of {have.value}-prediction on {path!r} has a variance that grows like 1/"
        f"{'(1-t)' if at_one else 't'}: the loss is aligned and diverges all the same. The "
        f"bounded alternative is prediction={default!r}; a t_max below 1 on the path cuts the "
        f"drift's time law and its sampling alike.",
        strict,
    )


def _singular(text: str, strict: bool) -> None:
    if strict:
        raise IncompatiblePartsError(text)
    warnings.warn(text, SingularCellWarning, stacklevel=5)


def _warn_not_sampled(objective: Objective, implied: ImpliedWeight) -> None:
    """Say that a prediction alone does not give what a solver integrates (a second head may)."""
    path, have = implied.path, objective.prediction
    probe = path.coefficients(interior(9))
    try:
        check_conversion(probe, have, path.kind, gaussian_source=objective.gaussian_source)
    except IncompatiblePartsError as error:
        _warn(
            f"a flow of {have.value}-prediction on {path!r} can be trained but not sampled by "
            f"itself: {error}"
        )


def _warn_not_bregman(objective: Objective) -> None:
    if not objective.divergence.is_bregman:
        _warn(
            f"{objective.divergence!r} is not a Bregman divergence: its minimiser is no longer the "
            f"conditional mean, so the trained field does not generate the data exactly, however "
            f"large the network. Use 'squared' unless the bias is wanted."
        )


def _warn_trainable(objective: Objective) -> None:
    """Say that a user's module would learn to make the loss small instead of the error."""
    for role, part in (("divergence", objective.divergence), ("weight", objective.weight)):
        if isinstance(part, UserDivergence | UserWeight) and any(
            p.requires_grad for p in part.parameters()
        ):
            _warn(
                f"the {role} {part!r} has parameters of its own, which are among the flow's: an "
                f"optimiser makes the loss small through them, without a better network. Freeze "
                f"them with .requires_grad_(False); a weight that is learned safely is 'learned'."
            )


def _warn_discrete(objective: Objective) -> None:
    if objective.time_law.is_discrete:
        _warn(
            f"{objective.time_law!r} draws finitely many times: what the network says between them "
            f"is never judged, and solvers use it. Sample on exactly this grid, or use 'uniform'."
        )


def _warn_vanishing(objective: Objective, implied: ImpliedWeight) -> None:
    """Say at which ends the emphasis vanishes, and how much rarer or lighter that makes them."""
    law = objective.time_law
    edge = torch.tensor([END, 1 - END], dtype=torch.float64)
    below, above = law.cdf(edge).detach().double().tolist()
    rarer = _vanishing(behaviour(law.log_density), below / END, (1 - above) / END)
    if rarer:
        _warn(
            f"the time law {law!r} vanishes at {rarer} fewer rows than under uniform times, and so "
            f"much more variance."
        )
    coefficients = implied.path.coefficients

    def log_weight(t: Tensor) -> Tensor:
        return objective.weight(t, coefficients(t)).detach().log()

    if _is_flat(log_weight):
        return
    near = torch.linspace(0, END, 101, dtype=torch.float64)[1:-1]

    def log_effective(t: Tensor) -> Tensor:
        return implied(t).log() + log_weight(t)

    whole, at_zero, at_one = (
        float(log_effective(t).exp().mean()) for t in (interior(), near, 1 - near)
    )
    lighter = _vanishing(behaviour(log_effective), at_zero / whole, at_one / whole)
    if lighter:
        _warn(
            f"with the weight {objective.weight!r} the emphasis vanishes at {lighter} less weight "
            f"than on average."
        )


def _vanishing(ends: Ends, share_at_zero: float, share_at_one: float) -> str:
    """Name the ends where a function vanishes, with the factor by which times there lose."""
    losing = [
        (end, 1 / max(share, 1e-300))
        for power, share, end in (
            (ends.at_zero, share_at_zero, 0),
            (ends.at_one, share_at_one, 1),
        )
        if power > 0
    ]
    if not losing:
        return ""
    places = " and ".join(f"t = {end}" for end, _ in losing)
    factors = " and ".join(f"{factor:.3g}" for _, factor in losing)
    return f"{places}: times within {END} of it have {factors} times"


def _is_flat(log_value: Callable[[Tensor], Tensor]) -> bool:
    value = log_value(interior(99))
    return float(value.max() - value.min()) < 1e-6


def _warn(text: str) -> None:
    warnings.warn(text, ObjectiveWarning, stacklevel=5)
