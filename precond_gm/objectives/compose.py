"""Compose an objective from names or instances, and check it on its path."""

from __future__ import annotations

import difflib
from typing import Any

from precond_gm.errors import InvalidInputError, UnknownNameError
from precond_gm.objectives import divergences, time_laws, weights
from precond_gm.objectives.checks import check_objective
from precond_gm.objectives.implied import PathLike, implied_weight
from precond_gm.objectives.objective import Objective
from precond_gm.values import TargetKind

__all__ = ["compose", "kind_of"]


def kind_of(kind: TargetKind | str) -> TargetKind:
    """Read a kind from its name.

    Raises:
        UnknownNameError: No such kind.
    """
    if isinstance(kind, TargetKind):
        return kind
    try:
        return TargetKind(kind)
    except ValueError:
        names = [k.value for k in TargetKind]
        near = difflib.get_close_matches(str(kind), names, n=2)
        hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise UnknownNameError(
            f"no prediction or loss space is called {kind!r}. {hint}Names: {', '.join(names)}."
        ) from None


def compose(
    path: PathLike,
    *,
    prediction: TargetKind | str | None = None,
    loss_space: TargetKind | str | None = None,
    divergence: Any = "squared",
    weight: Any = "constant",
    time_law: Any = "uniform",
    gaussian_source: bool = False,
    clamp: float = 0.0,
    strict: bool = False,
) -> Objective:
    """Build an objective and check that it is defined, legitimate and bounded on the path.

    Args:
        path: The path.
        prediction: What the network estimates; None is the path's bounded default.
        loss_space: Where the loss compares; None is the space of the prediction (aligned).
        divergence: Name, ``(name, options)``, instance, or any callable
            ``(target, prediction) -> rows``.
        weight: Name, ``(name, options)``, instance, or any callable ``t -> weight``.
        time_law: Name, ``(name, options)`` or instance.
        gaussian_source: Whether the source is N(0, I) and independent of the data.
        clamp: Largest factor between prediction and loss space is ``1 / clamp``, so that the
            implied weight is at most ``1 / clamp**2``; 0 for no bound. 0.05 holds ``1 - t`` at
            0.05 or more in the velocity loss of an x1-prediction (arXiv:2511.13720).
        strict: Refuse a cell whose effective weight is unbounded instead of warning.

    Raises:
        IncompatiblePartsError: The cell does not exist on this path; the divergence cannot judge
            in this space; a hole in weight or time law; a singular cell under ``strict``.
        InvalidInputError: A weight that is negative or infinite; a clamp outside [0, 1].

    Warns:
        SingularCellWarning: The effective weight is unbounded in t.
        ObjectiveWarning: Legal, but costly; the text says what it costs.

    Example:
        >>> from precond_gm.paths import LinearPath
        >>> objective = compose(LinearPath(), prediction="x1")
        >>> objective.loss_space
        <TargetKind.X1: 'x1'>
    """
    have = path.default_prediction if prediction is None else kind_of(prediction)
    want = have if loss_space is None else kind_of(loss_space)
    _check_clamp(clamp)
    objective = Objective(
        have,
        want,
        divergences.REGISTRY.resolve(
            divergences.UserDivergence(divergence)
            if _is_users_own(divergence, divergences.AbstractDivergence)
            else divergence
        ),
        weights.REGISTRY.resolve(
            weights.UserWeight(weight) if _is_users_own(weight, weights.AbstractWeight) else weight
        ),
        time_laws.REGISTRY.resolve(time_law),
        gaussian_source=gaussian_source,
        clamp=clamp,
    )
    implied = implied_weight(path, have, want, gaussian_source, clamp=clamp)
    check_objective(objective, implied, strict=strict)
    return objective


def _check_clamp(clamp: Any) -> None:
    if isinstance(clamp, bool) or not isinstance(clamp, int | float) or not 0 <= clamp <= 1:
        raise InvalidInputError(
            f"clamp is a number in [0, 1], the smallest denominator of a conversion (0.05, say), "
            f"or 0 for none; got {clamp!r}."
        )


def _is_users_own(part: Any, base: type) -> bool:
    """Whether a part is a callable of the user's own: no instance of a part, and no class."""
    return callable(part) and not isinstance(part, base | type)
