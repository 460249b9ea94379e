"""A law that goes where the loss varies."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.objectives.adaptive import AbstractAdaptive
from precond_gm.objectives.binned import BinnedMoments
from precond_gm.objectives.time_laws.base import AbstractTimeLaw, Sampling, check_sampling

__all__ = ["Adaptive"]


@final
class Adaptive(AbstractAdaptive, AbstractTimeLaw):
    r"""Piecewise constant density proportional to the root mean square of the loss of a row.

    That is the importance law of least variance for the estimate of the loss. With
    ``keep_objective`` each row is divided by the density, so that the objective stays that of
    uniform times and only its variance changes; without, the law is an emphasis of its own.

    Args:
        bins: Number of bins of t.
        decay: Fading per batch, in (0, 1).
        floor: Share of uniform times that is mixed in, in (0, 1]: the density is never below it.
        keep_objective: Whether rows are divided by the density.
        sampling: How a batch is drawn.

    Example:
        >>> import torch
        >>> law = Adaptive(bins=2, floor=0.5)
        >>> t = torch.tensor([0.1, 0.2, 0.8, 0.9])
        >>> law.observe(t, torch.ones(4), torch.tensor([1.0, 1.0, 3.0, 3.0]))
        >>> law.log_density(torch.tensor([0.1, 0.9])).exp()
        tensor([0.7500, 1.2500])
    """

    def __init__(
        self,
        bins: int = 32,
        decay: float = 0.99,
        floor: float = 0.2,
        keep_objective: bool = True,
        *,
        sampling: Sampling = "iid",
    ) -> None:
        super().__init__()
        if not 0 < floor <= 1:
            raise InvalidInputError(
                f"floor lies in (0, 1], so that every time is drawn; got {floor}."
            )
        check_sampling(sampling)
        self.statistics = BinnedMoments(bins, decay)
        self.floor = floor
        self.keep_objective = keep_objective
        self.sampling = sampling

    @property
    def options(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "bins": self.statistics.bins,
            "decay": self.statistics.decay,
            "floor": self.floor,
            "keep_objective": self.keep_objective,
            "sampling": self.sampling,
        }

    def observe(self, t: Tensor, per_row: Tensor, loss: Tensor) -> None:
        """Learn from the weighted losses of one batch."""
        self.statistics.update(t, loss)

    def density(self) -> Tensor:
        """Return the density in each bin; its mean is one."""
        spread = self.statistics.root_mean_square()
        return self.floor + (1 - self.floor) * spread / spread.mean()

    def quantile(self, u: Tensor) -> Tensor:
        """Return the time below which a share ``u`` lies."""
        edges = self._edges(u)
        n = self.statistics.bins
        cell = torch.searchsorted(edges, u.contiguous(), right=True).clamp(1, n) - 1
        inside = (u - edges[cell]) / (edges[cell + 1] - edges[cell])
        return ((cell + inside) / n).clamp(0, 1)

    def cdf(self, t: Tensor) -> Tensor:
        """Return the share of times below ``t``."""
        edges, n = self._edges(t), self.statistics.bins
        cell = self.statistics.index(t)
        return edges[cell] + (edges[cell + 1] - edges[cell]) * (t * n - cell)

    def log_density(self, t: Tensor) -> Tensor:
        """Return the log-density."""
        return self.density().log().to(t.dtype)[self.statistics.index(t)]

    def importance(self, t: Tensor) -> Tensor | None:
        """Return the inverse density if the objective of uniform times is kept."""
        return (-self.log_density(t)).exp() if self.keep_objective else None

    def _edges(self, like: Tensor) -> Tensor:
        density = self.density().to(like.dtype)
        edges = torch.cat([density.new_zeros(1), density.cumsum(0)])
        return edges / edges[-1]
