"""What every divergence is: a distance per row whose minimiser, if Bregman, is the mean."""

from __future__ import annotations

import abc
from typing import ClassVar

from torch import Tensor

from precond_gm.objectives.divergences.domain import Domain, check_domain

__all__ = ["AbstractDivergence", "sum_event"]


def sum_event(elements: Tensor) -> Tensor:
    """Sum over all axes but the first."""
    return elements.flatten(1).sum(1)


class AbstractDivergence(abc.ABC):
    r"""Divergence per row, target first.

    A Bregman divergence ``phi(a) - phi(b) - <phi'(b), a - b>`` has its target as first argument:
    only then is the conditional mean of the targets its minimiser, and only then has the loss
    against the conditional target the same gradient as the loss against the marginal one.

    Attributes:
        is_bregman: Whether that holds. False is said once when an objective is composed.
        domain: Where targets live.
        is_translation_invariant: Whether ``D(a + s, b + s) = D(a, b)``; only then may the loss
            space differ from the prediction.

    References:
        arXiv:2511.16599, section 4 (the divergence may depend on t and on the state).
    """

    is_bregman: ClassVar[bool] = True
    domain: ClassVar[Domain] = Domain.REAL
    is_translation_invariant: ClassVar[bool] = False

    @abc.abstractmethod
    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return the divergence of each row, summed over the event: shape ``batch``."""

    def mean(self, prediction: Tensor) -> Tensor:
        """Turn what the network puts out into the mean that it stands for (logits need this)."""
        return prediction

    def link(self, mean: Tensor) -> Tensor:
        """Undo ``mean``."""
        return mean

    def finish(self, mean: Tensor) -> Tensor:
        """Turn means at t = 1 into states that exist; on R^d they are states already."""
        return mean

    def at(self, t: Tensor, z: Tensor) -> AbstractDivergence:
        """Return the divergence at these times and points: itself unless it depends on them."""
        return self

    def check(self, target: Tensor, prediction: Tensor) -> None:
        """Check the values of one batch, where data enter: targets lie in the domain.

        A divergence that is not finite for every output of a network checks its predictions too.

        Raises:
            InvalidInputError: A value outside the domain; the first position is named.
        """
        check_domain(self.domain, target, type(self).__name__)
