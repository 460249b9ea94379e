"""Notice an emphasis over t that acts twice: in the loss space, in the weight, in the time law.

Two log-shapes over t are compared on the middle nine tenths of (0, 1), where ends do not decide.
"""

from __future__ import annotations

import math
import warnings

from torch import Tensor

from precond_gm.errors import ObjectiveWarning
from precond_gm.objectives.adaptive import AbstractAdaptive
from precond_gm.objectives.objective import Objective
from precond_gm.objectives.weights.base import AbstractWeight

__all__ = ["likeness", "warn_of_double_emphasis"]

# At 0.95 nine tenths of the variance of one log-shape are explained by the other. Published pairs
# that are meant lie below (EDM's weight and law at 0.69, 1/(1.05-t)^2 and EDM's law at 0.87), pairs
# that are the same thing above (velocity loss and snr 0.954, t(1-t) and logit-normal 0.994).
ALIKE = 0.95
# The weaker of the two is at least a third of the stronger, and neither is within 2 % of flat.
WEAKER, FLAT = 1 / 3, 0.02


def warn_of_double_emphasis(
    objective: Objective, t: Tensor, implied: Tensor, weight: Tensor, law: Tensor
) -> None:
    """Warn where two of implied weight, weight and time law emphasise the same times.

    Args:
        objective: The objective, for the names.
        t: Equidistant times in (0, 1).
        implied: Logarithm of the implied weight at these times.
        weight: Logarithm of the weight.
        law: Logarithm of density times importance of the time law.

    Warns:
        ObjectiveWarning: Two of them are alike, or two of them learn from the losses.
    """
    parts = (
        (f"the loss space {objective.loss_space.value}", implied),
        (f"the weight {objective.weight!r}", weight),
        (f"the time law {objective.time_law!r}", law),
    )
    for i, (first, one) in enumerate(parts):
        for second, other in parts[i + 1 :]:
            found = likeness(one, other)
            if found >= ALIKE:
                _warn(
                    f"{first} and {second} emphasise the same times (correlation {found:.3f} of "
                    f"their logarithms over t), so the emphasis acts twice, as if it were squared. "
                    f"Keep one of the two, unless both are meant."
                )
    _warn_both_learn(objective, t)


def likeness(one: Tensor, other: Tensor) -> float:
    """Return the correlation of two log-shapes; 0 where one is flat or far weaker than the other.

    Args:
        one: Logarithm of a positive function at equidistant times in (0, 1).
        other: That of another one, at the same times.

    Example:
        >>> import torch
        >>> t = torch.linspace(0.01, 0.99, 99)
        >>> round(likeness(t.log(), 2 * t.log()), 6), likeness(t.log(), 0.01 * t.log())
        (1.0, 0.0)
    """
    middle = slice(len(one) // 20, -(len(one) // 20))
    a, b = (log[middle] - log[middle].mean() for log in (one, other))
    sizes = sorted(float(log.square().mean().sqrt()) for log in (a, b))
    if not math.isfinite(sizes[1]) or sizes[0] < max(FLAT, WEAKER * sizes[1]):
        return 0.0
    return float((a * b).mean()) / (sizes[0] * sizes[1])


def _warn_both_learn(objective: Objective, t: Tensor) -> None:
    """Warn of a weight and a law that both learn from the losses: flat now, not after a step."""
    weight, law = objective.weight, objective.time_law
    learns = isinstance(weight, AbstractAdaptive) or (
        type(weight).penalty is not AbstractWeight.penalty
    )
    if learns and isinstance(law, AbstractAdaptive) and law.importance(t) is None:
        _warn(
            f"the weight {type(weight).__name__} and the time law {type(law).__name__} both follow "
            f"the losses over t: the weight divides by their size, the law goes where they are "
            f"large, so one undoes or repeats the emphasis of the other. Keep one of the "
            f"two, or let the law only lower variance: ('adaptive', {{'keep_objective': True}})."
        )


def _warn(text: str) -> None:
    warnings.warn(text, ObjectiveWarning, stacklevel=6)
