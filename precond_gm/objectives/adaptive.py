"""Parts that learn from the losses of the training steps."""

from __future__ import annotations

import abc

from torch import Tensor, nn

__all__ = ["AbstractAdaptive"]


class AbstractAdaptive(nn.Module, abc.ABC):
    """A weight or time law with running statistics, kept as buffers."""

    @abc.abstractmethod
    def observe(self, t: Tensor, per_row: Tensor) -> None:
        """Learn from one batch of losses before weighting; called in training mode only."""
