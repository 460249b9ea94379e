"""Parts that learn from the losses of the training steps."""

from __future__ import annotations

import abc

from torch import Tensor, nn

__all__ = ["AbstractAdaptive"]


class AbstractAdaptive(nn.Module, abc.ABC):
    """A weight or time law with running statistics, kept as buffers."""

    @abc.abstractmethod
    def observe(self, t: Tensor, per_row: Tensor, loss: Tensor) -> None:
        """Learn from one batch, in training mode only.

        Args:
            t: Times of the rows.
            per_row: Divergence of each row before weighting.
            loss: The same after weighting.
        """
