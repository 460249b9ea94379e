r"""Exchange a time law for a weight and back: ``w(t) p(t) i(t)`` is all that the objective sees.

w is the weight, p the density of the law, i its importance: ``1 / p`` for an adaptive law that
keeps the objective, else 1. Two objectives with the same product have the same value and the same
expected gradient; what differs is the variance of the estimate from a batch.
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from precond_gm.errors import IncompatiblePartsError
from precond_gm.objectives.ends import behaviour
from precond_gm.objectives.implied import PathLike
from precond_gm.objectives.objective import Objective
from precond_gm.objectives.time_laws import AbstractTimeLaw, Tabulated, Uniform
from precond_gm.objectives.weights import AbstractWeight, Constant
from precond_gm.values import Coefficients

__all__ = ["Reweighted", "as_time_law", "as_weight", "with_time_law"]


@final
class Reweighted(nn.Module, AbstractWeight):
    """Weight ``w(t) p(t) / q(t)``: what w was under the law p, for times drawn from q.

    Both densities are taken times the importance of their law.

    Args:
        weight: Weight w.
        meant: Law p.
        drawn: Law q.
    """

    def __init__(
        self, weight: AbstractWeight, meant: AbstractTimeLaw, drawn: AbstractTimeLaw
    ) -> None:
        super().__init__()
        self.weight = weight
        self.meant = meant
        self.drawn = drawn

    def forward(self, t: Tensor, coefficients: Coefficients) -> Tensor:
        """Return the weight at times ``t``."""
        ratio = (self.meant.log_emphasis(t) - self.drawn.log_emphasis(t)).exp()
        return self.weight(t, coefficients) * ratio

    def extra_repr(self) -> str:
        """Name the parts that are not modules."""
        return f"weight={self.weight!r}, meant={self.meant!r}, drawn={self.drawn!r}"


def with_time_law(objective: Objective, law: AbstractTimeLaw) -> Objective:
    """Return the same objective under another time law; the weight makes up for it exactly.

    Raises:
        IncompatiblePartsError: A weight with a penalty (``learned``), which is not a product.

    Example:
        >>> from precond_gm.objectives import compose
        >>> from precond_gm.objectives.time_laws import Shifted
        >>> from precond_gm.paths import LinearPath
        >>> same = with_time_law(compose(LinearPath()), Shifted())
        >>> same.time_law
        Shifted(sampling='iid', shift=3.0)
    """
    _check_no_penalty(objective.weight)
    return Objective(
        objective.prediction,
        objective.loss_space,
        objective.divergence,
        Reweighted(objective.weight, objective.time_law, law),
        law,
        gaussian_source=objective.gaussian_source,
        clamp=objective.clamp,
    )


def as_weight(objective: Objective) -> Objective:
    """Return the same objective with uniform times: the whole emphasis is in the weight."""
    return with_time_law(objective, Uniform(sampling=objective.time_law.sampling))


def as_time_law(objective: Objective, path: PathLike) -> Objective:
    """Return the same objective with a constant weight: the whole emphasis is in the time law.

    Raises:
        IncompatiblePartsError: ``w(t) p(t)`` is not integrable, so no law has it as density; or a
            weight with a penalty.
    """
    _check_no_penalty(objective.weight)

    def log_emphasis(t: Tensor) -> Tensor:
        weight = objective.weight(t, path.coefficients(t)).detach()
        return weight.log() + objective.time_law.log_emphasis(t).detach()

    if not behaviour(log_emphasis).is_integrable:
        raise IncompatiblePartsError(
            f"{objective.weight!r} times the density of {objective.time_law!r} has an infinite "
            f"integral over t: no time law is proportional to it. Bound the weight (eps, clamp)."
        )
    law = Tabulated(log_emphasis, sampling=objective.time_law.sampling)
    return Objective(
        objective.prediction,
        objective.loss_space,
        objective.divergence,
        Constant(law.mass),
        law,
        gaussian_source=objective.gaussian_source,
        clamp=objective.clamp,
    )


def _check_no_penalty(weight: AbstractWeight) -> None:
    if type(weight).penalty is not AbstractWeight.penalty:
        raise IncompatiblePartsError(
            f"{weight!r} adds a penalty to the loss, which a change of time law would weight "
            f"differently. Compose the objective with the other law instead."
        )
