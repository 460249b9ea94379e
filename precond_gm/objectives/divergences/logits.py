"""Cross-entropies: the network puts out logits, the targets are bits or probability vectors.

Both are Bregman divergences (of the negative entropy) up to the entropy of the target, which does
not depend on the prediction and is zero for data. In terms of logits nothing needs clipping: every
finite logit is a probability strictly inside its domain, and the loss grows only linearly.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional

from precond_gm.errors import InvalidInputError, ObjectiveWarning
from precond_gm.objectives.divergences.base import AbstractDivergence, sum_event
from precond_gm.objectives.divergences.domain import Domain, check_domain, refuse

__all__ = ["BinaryCrossEntropy", "CrossEntropy"]


@final
@dataclass(frozen=True)
class BinaryCrossEntropy(AbstractDivergence):
    r"""Cross-entropy of bits on logits, ``softplus(l) - p l`` with p the target's place in [0, 1].

    The prediction is the logit of the upper value; its mean is ``low + (high - low) sigmoid(l)``,
    which is ``tanh(l / 2)`` for bits in {-1, +1}.

    Args:
        low: Lower value of a bit.
        high: Upper value of a bit.

    References:
        arXiv:2602.10420 (aligned with x1-prediction on binary data).

    Example:
        >>> import torch
        >>> loss = BinaryCrossEntropy(low=-1.0, high=1.0)
        >>> loss.mean(torch.tensor([0.0, 2.0]))
        tensor([0.0000, 0.7616])
    """

    domain: ClassVar[Domain] = Domain.UNIT
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InvalidInputError(
                f"the values of a bit are low < high; got low={self.low}, high={self.high}."
            )

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return the cross-entropy of each row."""
        share = (target - self.low) / (self.high - self.low)
        return sum_event(functional.softplus(prediction) - share * prediction)

    def mean(self, prediction: Tensor) -> Tensor:
        """Turn logits into expected bits."""
        return self.low + (self.high - self.low) * prediction.sigmoid()

    def link(self, mean: Tensor) -> Tensor:
        """Turn expected bits into logits."""
        return torch.logit((mean - self.low) / (self.high - self.low))

    def finish(self, mean: Tensor) -> Tensor:
        """Round to the nearer of the two values."""
        upper = mean > (self.low + self.high) / 2
        return torch.where(upper, self.high, self.low).to(mean.dtype)

    def check(self, target: Tensor, prediction: Tensor) -> None:
        """Check that targets lie between the two values, and that outputs look like logits.

        Raises:
            InvalidInputError: A target outside; the first position is named.
        """
        check_domain(Domain.REAL, target, type(self).__name__)
        outside = (target < self.low) | (target > self.high)
        refuse(outside, self.domain, target, f"{self!r}")
        if bool(((prediction > 0) & (prediction < 1)).all()) and prediction.numel() >= 32:
            _warn_probabilities(type(self).__name__, "sigmoid")


@final
@dataclass(frozen=True)
class CrossEntropy(AbstractDivergence):
    r"""Cross-entropy on logits along the last axis; targets are one-hot rows or probabilities.

    Example:
        >>> import torch
        >>> target = torch.tensor([[0.0, 1.0]])
        >>> CrossEntropy()(target, torch.zeros(1, 2))
        tensor([0.6931])
    """

    domain: ClassVar[Domain] = Domain.SIMPLEX

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return the cross-entropy of each row, summed over the other axes of the event."""
        return -sum_event(target * prediction.log_softmax(-1))

    def mean(self, prediction: Tensor) -> Tensor:
        """Turn logits into probabilities."""
        return prediction.softmax(-1)

    def link(self, mean: Tensor) -> Tensor:
        """Turn probabilities into logits."""
        return mean.log()

    def finish(self, mean: Tensor) -> Tensor:
        """Choose the most probable class, one-hot."""
        best = mean.argmax(-1)
        return functional.one_hot(best, mean.shape[-1]).to(mean.dtype)

    def check(self, target: Tensor, prediction: Tensor) -> None:
        """Check that targets are probability vectors, and that outputs look like logits.

        Raises:
            InvalidInputError: A target off the simplex; the first position is named.
        """
        check_domain(self.domain, target, type(self).__name__)
        sums = (prediction.sum(-1) - 1).abs() < 1e-3
        if bool((prediction >= 0).all()) and bool(sums.all()):
            _warn_probabilities(type(self).__name__, "softmax")


def _warn_probabilities(name: str, function: str) -> None:
    warnings.warn(
        f"{name} takes logits, but every output of the first batch looks like a probability. "
        f"Remove the {function} at the end of the network.",
        ObjectiveWarning,
        stacklevel=2,
    )
