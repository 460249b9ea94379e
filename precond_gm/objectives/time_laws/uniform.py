"""The uniform law, on all times and on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.objectives.time_laws.base import FixedTimeLaw

__all__ = ["Grid", "Uniform"]


@final
@dataclass(frozen=True)
class Uniform(FixedTimeLaw):
    """Every time equally often.

    Example:
        >>> import torch
        >>> law = Uniform(sampling="low-discrepancy")
        >>> law.sample(4, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([4])
    """

    def quantile(self, u: Tensor) -> Tensor:
        """Return ``u``."""
        return u

    def cdf(self, t: Tensor) -> Tensor:
        """Return ``t``."""
        return t

    def log_density(self, t: Tensor) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(t)


@final
@dataclass(frozen=True)
class Grid(FixedTimeLaw):
    """Midpoints of ``steps`` equal cells, equally often: the times of discrete-time diffusion.

    Between its points nothing is learned, which is warned of: prefer ``uniform``.

    Args:
        steps: Number of times.
    """

    is_discrete: ClassVar[bool] = True
    steps: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.steps, int) or self.steps < 1:
            raise InvalidInputError(
                f"Grid: steps is a whole number, 1 or more; got {self.steps!r}. 1000 is usual."
            )

    def quantile(self, u: Tensor) -> Tensor:
        """Return the midpoint of the cell of ``u``."""
        return ((u * self.steps).floor().clamp(max=self.steps - 1) + 0.5) / self.steps

    def cdf(self, t: Tensor) -> Tensor:
        """Return the share of midpoints at or below ``t``."""
        return ((t * self.steps + 0.5).floor() / self.steps).clamp(0, 1)

    def log_density(self, t: Tensor) -> Tensor:
        """Return zeros, the log-density of the uniform law that the grid stands for."""
        return torch.zeros_like(t)
