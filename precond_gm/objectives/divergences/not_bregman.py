"""Losses that are no Bregman divergence: their minimiser is not the conditional mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor
from torch.nn import functional

from precond_gm.errors import InvalidInputError
from precond_gm.objectives.divergences.base import AbstractDivergence, sum_event
from precond_gm.objectives.user import UserFunction
from precond_gm.options import check_positive

__all__ = ["Huber", "UserDivergence"]


@final
@dataclass(frozen=True)
class Huber(AbstractDivergence):
    r"""Huber loss: quadratic below ``delta``, linear above. Not Bregman.

    Its minimiser lies between mean and median, so the field it learns does not generate the
    marginals of the path: a bias that no amount of data removes.

    Args:
        delta: Where it turns linear, positive, in units of the target.

    Example:
        >>> import torch
        >>> Huber()(torch.tensor([[3.0]]), torch.tensor([[0.0]]))
        tensor([5.])
    """

    is_bregman: ClassVar[bool] = False
    is_translation_invariant: ClassVar[bool] = True
    delta: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self, "delta")

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return twice the usual Huber loss, so that it equals ``squared`` for small errors."""
        loss = functional.huber_loss(prediction, target, reduction="none", delta=self.delta)
        return 2 * sum_event(loss)


@final
class UserDivergence(UserFunction, AbstractDivergence):
    """A callable ``(target, prediction) -> one number per row`` of the user's own.

    An ``nn.Module`` is moved and saved with the flow. Its parameters would be trained with the
    network, to make the loss small instead of the error: freeze them (``requires_grad_(False)``).

    Args:
        function: Function, ``functools.partial``, module or object with ``__call__``; target first
            (PyTorch's own losses take the prediction first).

    Example:
        >>> import torch
        >>> l1 = UserDivergence(lambda a, b: (a - b).abs().flatten(1).sum(1))
        >>> l1(torch.tensor([[1.0, -1.0]]), torch.zeros(1, 2))
        tensor([2.])
    """

    is_bregman: ClassVar[bool] = False
    is_translation_invariant: ClassVar[bool] = True

    def forward(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return the function's value, one number per row.

        Raises:
            InvalidInputError: It gave another shape than ``batch``.
        """
        value = self.function(target, prediction)
        if not isinstance(value, Tensor) or value.shape != target.shape[:1]:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InvalidInputError(
                f"a divergence returns one number per row, shape ({target.shape[0]},); the "
                f"function gave {got}. Sum over the event, .flatten(1).sum(1), and give PyTorch's "
                f"own losses reduction='none' first."
            )
        return value
