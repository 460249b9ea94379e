"""What every weight is: a positive function of t that multiplies the loss of a row."""

from __future__ import annotations

import abc

from torch import Tensor

from precond_gm.values import Coefficients

__all__ = ["AbstractWeight"]


class AbstractWeight(abc.ABC):
    """Positive weight ``w(t)`` of the loss, which may read the path's coefficients.

    Stateless weights are frozen dataclasses; weights with parameters or running statistics are
    ``nn.Module`` s as well, so that they are trained, moved and saved with the flow.
    """

    @abc.abstractmethod
    def __call__(self, t: Tensor, coefficients: Coefficients) -> Tensor:
        """Return the weight of each row, shape ``batch``."""

    def penalty(self, t: Tensor) -> Tensor | None:
        """Return what is added to the loss of each row; None for nothing."""
        return None
