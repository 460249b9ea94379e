"""The exponential moving average of the weights: what is validated, sampled and kept."""

from __future__ import annotations

import copy
from typing import Any

import torch

from precond_gm.flow import PreconditionedFlow

__all__ = ["Average"]


class Average:
    """A flow whose network is the moving average of another flow's network.

    The decay rises as ``(1 + step) / (10 + step)``, so that the first steps do not linger. The
    preconditioner is shared, not copied: it is frozen.

    Args:
        flow: The flow that is trained.
        decay: Largest decay, in [0, 1).

    Attributes:
        flow: The averaged flow.
    """

    def __init__(self, flow: PreconditionedFlow, decay: float) -> None:
        self.decay = decay
        self.flow = copy.copy(flow)
        self.flow._modules = dict(flow._modules)
        self.flow.field = copy.deepcopy(flow.field).requires_grad_(False).eval()
        self._source = list(flow.field.model.parameters())
        self._target = list(self.flow.field.model.parameters())
        self._source_buffers = list(flow.field.model.buffers())
        self._target_buffers = list(self.flow.field.model.buffers())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after ``step`` steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._target, self._source, 1 - decay)
        for target, source in zip(self._target_buffers, self._source_buffers, strict=True):
            target.copy_(source)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged network's state."""
        return self.flow.field.model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the averaged network's state."""
        self.flow.field.model.load_state_dict(state)
