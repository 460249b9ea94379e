"""Running moments of a quantity per bin of t, without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from precond_gm.errors import InvalidInputError

__all__ = ["BinnedMoments"]


class BinnedMoments(nn.Module):
    """Exponentially fading count, sum and sum of squares per equal bin of (0, 1).

    Args:
        bins: Number of bins.
        decay: Factor by which a batch fades with each later batch, in (0, 1).

    Raises:
        InvalidInputError: An option out of range.
    """

    moments: Tensor

    def __init__(self, bins: int, decay: float) -> None:
        super().__init__()
        if not isinstance(bins, int) or bins < 1 or not 0 < decay < 1:
            raise InvalidInputError(
                f"bins is a whole number, 1 or more, and decay lies in (0, 1); got bins={bins}, "
                f"decay={decay}."
            )
        self.bins = bins
        self.decay = decay
        self.register_buffer("moments", torch.zeros(3, bins))

    def index(self, t: Tensor) -> Tensor:
        """Return the bin of each time."""
        return (t * self.bins).long().clamp(0, self.bins - 1)

    @torch.no_grad()
    def update(self, t: Tensor, values: Tensor) -> None:
        """Add one batch."""
        v = values.to(self.moments.dtype)
        batch = torch.stack([torch.ones_like(v), v, v.square()])
        self.moments.mul_(self.decay).index_add_(1, self.index(t), batch)

    def root_mean_square(self) -> Tensor:
        """Return the root mean square per bin; bins without data get the mean of the others."""
        return self._filled(self.moments[2])

    def deviation(self) -> Tensor:
        """Return the standard deviation per bin; bins without data get the mean of the others."""
        count, total, square = self.moments
        return self._filled(square - total.square() / count.clamp(min=1e-6))

    def _filled(self, square_sum: Tensor) -> Tensor:
        count = self.moments[0]
        seen = count > 1  # two fading rows or more, or the estimate is noise
        root = (square_sum.clamp(min=0) / count.clamp(min=1e-6)).sqrt()
        number = seen.sum()
        mean = torch.where(seen, root, 0.0).sum() / number.clamp(min=1)
        filled = torch.where(seen, root, mean)
        return torch.where(mean > 0, filled, torch.ones_like(filled))
