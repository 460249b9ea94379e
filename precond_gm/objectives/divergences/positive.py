"""Divergences of rates and other positive numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from precond_gm.objectives.divergences.base import AbstractDivergence, sum_event
from precond_gm.objectives.divergences.domain import Domain, check_outputs

__all__ = ["GeneralisedKL", "ItakuraSaito"]


@final
@dataclass(frozen=True)
class GeneralisedKL(AbstractDivergence):
    r"""Poisson divergence ``a log(a / b) - a + b`` with ``0 log 0 = 0``; predictions are positive.

    The natural loss of jump rates. A target of 0 costs ``b``; a prediction of 0 where the target
    is not 0 costs infinity, so end the network with softplus or exp.

    References:
        arXiv:2511.16599, section 4.

    Example:
        >>> import torch
        >>> GeneralisedKL()(torch.tensor([[0.0]]), torch.tensor([[2.0]]))
        tensor([2.])
    """

    domain: ClassVar[Domain] = Domain.NONNEGATIVE

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return the divergence of each row."""
        # where the target is 0 the logarithm drops out; its gradient 0 / 0 must drop out too
        inside = torch.where(target > 0, prediction, 1.0)
        ratio = torch.xlogy(target, target) - target * inside.log()
        return sum_event(ratio - target + prediction)

    def check(self, target: Tensor, prediction: Tensor) -> None:
        """Check that targets are 0 or more, and predictions above 0 where the target is.

        Raises:
            InvalidInputError: A value outside; the first position is named.
        """
        super().check(target, prediction)
        check_outputs(Domain.NONNEGATIVE, prediction, type(self).__name__)
        infinite = (prediction == 0) & (target > 0)
        if bool(infinite.any()):
            check_outputs(Domain.POSITIVE, prediction, type(self).__name__)


@final
@dataclass(frozen=True)
class ItakuraSaito(AbstractDivergence):
    r"""Scale-free divergence ``a/b - log(a/b) - 1`` of positive numbers; infinite at ``a = 0``.

    Example:
        >>> import torch
        >>> a, b = torch.tensor([[1.0]]), torch.tensor([[2.0]])
        >>> bool(torch.isclose(ItakuraSaito()(a, b), ItakuraSaito()(10 * a, 10 * b)))
        True
    """

    domain: ClassVar[Domain] = Domain.POSITIVE

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return the divergence of each row."""
        ratio = target / prediction
        return sum_event(ratio - ratio.log() - 1)

    def check(self, target: Tensor, prediction: Tensor) -> None:
        """Check that targets and predictions are above 0.

        Raises:
            InvalidInputError: A value outside; the first position is named.
        """
        super().check(target, prediction)
        check_outputs(self.domain, prediction, type(self).__name__)
