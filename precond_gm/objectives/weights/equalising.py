"""A weight that makes all times equally noisy."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor

from precond_gm.objectives.adaptive import AbstractAdaptive
from precond_gm.objectives.binned import BinnedMoments
from precond_gm.objectives.weights.base import AbstractWeight
from precond_gm.options import check_positive
from precond_gm.values import Coefficients

__all__ = ["VarianceEqualising"]


@final
class VarianceEqualising(AbstractAdaptive, AbstractWeight):
    r"""Weight ``1 / sd(t)``, with sd the deviation of the loss of a row, estimated while training.

    Every bin of t then adds the same variance to the estimate of the loss. Weights have mean one
    over the bins and stay within a factor ``1 / floor`` of the smallest.

    Args:
        bins: Number of bins of t.
        decay: Fading per batch, in (0, 1).
        floor: Smallest deviation, relative to the mean one, in (0, 1].

    Raises:
        InvalidInputError: An option out of range.

    Example:
        >>> import torch
        >>> weight = VarianceEqualising(bins=2)
        >>> t = torch.tensor([0.1, 0.2, 0.8, 0.9])
        >>> weight.observe(t, torch.tensor([0.0, 1.0, 0.0, 3.0]), torch.ones(4))
        >>> weight(t, None)
        tensor([1.5000, 1.5000, 0.5000, 0.5000])
    """

    def __init__(self, bins: int = 32, decay: float = 0.99, floor: float = 0.01) -> None:
        super().__init__()
        self.statistics = BinnedMoments(bins, decay)
        self.floor = floor
        hint = "Without it, a time whose loss hardly varies would get all the weight."
        check_positive(self, "floor", largest=1.0, hint=hint)

    @property
    def options(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "bins": self.statistics.bins,
            "decay": self.statistics.decay,
            "floor": self.floor,
        }

    def observe(self, t: Tensor, per_row: Tensor, loss: Tensor) -> None:
        """Learn from the unweighted losses of one batch."""
        self.statistics.update(t, per_row)

    def forward(self, t: Tensor, coefficients: Coefficients) -> Tensor:
        """Return the weight of the bin of each time."""
        deviation = self.statistics.deviation()
        inverse = 1 / deviation.clamp(min=self.floor * deviation.mean())
        return (inverse / inverse.mean()).to(t.dtype)[self.statistics.index(t)]
