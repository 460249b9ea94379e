"""Compose an objective from names or instances, and check it on its path."""

from __future__ import annotations

import warnings
from typing import Any

from precond_gm.errors import (
    IncompatiblePartsError,
    InvalidInputError,
    SingularCellWarning,
)
from precond_gm.objectives import divergences, time_laws, weights
from precond_gm.objectives.ends import behaviour
from precond_gm.objectives.implied import ImpliedWeight, PathLike, implied_weight
from precond_gm.objectives.objective import Objective
from precond_gm.objectives.weights.base import AbstractWeight
from precond_gm.values import TargetKind

__all__ = ["compose", "kind_of"]


def kind_of(kind: TargetKind | str) -> TargetKind:
    """Read a kind from its name.

    Raises:
        InvalidInputError: No such kind.
    """
    if isinstance(kind, TargetKind):
        return kind
    try:
        return TargetKind(kind)
    except ValueError:
        names = ", ".join(k.value for k in TargetKind)
        raise InvalidInputError(
            f"no prediction or loss space is called {kind!r}. Names: {names}."
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
    strict: bool = False,
) -> Objective:
    """Build an objective and check that it is defined, legitimate and bounded on the path.

    Args:
        path: The path.
        prediction: What the network estimates; None is the path's bounded default.
        loss_space: Where the loss compares; None is the space of the prediction (aligned).
        divergence: Name, ``(name, options)``, instance, or a function (target, prediction) -> rows.
        weight: Name, ``(name, options)``, instance, or a function t -> weight.
        time_law: Name, ``(name, options)`` or instance.
        gaussian_source: Whether the source is N(0, I) and independent of the data.
        strict: Refuse a cell whose effective weight is unbounded instead of warning.

    Raises:
        IncompatiblePartsError: The cell does not exist on this path, or is singular under
            ``strict``.

    Warns:
        SingularCellWarning: The effective weight is unbounded in t.

    Example:
        >>> from precond_gm.paths import LinearPath
        >>> objective = compose(LinearPath(), prediction="x1")
        >>> objective.loss_space
        <TargetKind.X1: 'x1'>
    """
    have = path.default_prediction if prediction is None else kind_of(prediction)
    want = have if loss_space is None else kind_of(loss_space)
    objective = Objective(
        have,
        want,
        divergences.REGISTRY.resolve(divergence),
        weights.REGISTRY.resolve(weight),
        time_laws.REGISTRY.resolve(time_law),
        gaussian_source=gaussian_source,
    )
    implied = implied_weight(path, have, want, gaussian_source)
    _check_singular(implied, objective.weight, strict)
    return objective


def _check_singular(implied: ImpliedWeight, weight: AbstractWeight, strict: bool) -> None:
    """Warn of, or refuse, an effective weight ``implied(t) w(t)`` without a bound."""
    if implied.is_aligned:
        return
    effective = behaviour(
        lambda t: (implied(t) * weight(t, implied.path.coefficients(t)).to(t.dtype)).log()
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
    warnings.warn(text, SingularCellWarning, stacklevel=3)
