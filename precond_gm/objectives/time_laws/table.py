r"""Laws without a closed quantile function, by a table of cells.

The cells are equal in the angle ``v``, ``t = sin^2(pi v / 2)``, so they get narrow at both ends,
where a density may rise or vanish like a power. Within a cell the law is uniform in v.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from precond_gm.objectives.time_laws.base import FixedTimeLaw
from precond_gm.options import check_positive

__all__ = ["Beta", "Tabulated"]

CELLS = 4096


def _angle(t: Tensor) -> Tensor:
    """Return v in [0, 1] with ``t = sin^2(pi v / 2)``."""
    return torch.asin(t.clamp(0, 1).sqrt()) * (2 / torch.pi)


def _time(v: Tensor) -> Tensor:
    return torch.sin(v * (torch.pi / 2)).square()


@dataclass(frozen=True, eq=False)
class _Table:
    """Distribution function at the edges of the cells, and its inverse by interpolation."""

    edges: Tensor
    copies: dict[torch.device, Tensor] = field(default_factory=dict)

    def on(self, device: torch.device) -> Tensor:
        """Return the edges there; copied once, so that a training step does not wait for it."""
        if device not in self.copies:
            self.copies[device] = self.edges.to(device)
        return self.copies[device]

    @classmethod
    def of(cls, masses: Tensor) -> _Table:
        """Build the table from the mass of each cell, up to a factor."""
        total = torch.cat([masses.new_zeros(1), masses.cumsum(0)])
        return cls(total / total[-1])

    def quantile(self, u: Tensor) -> Tensor:
        """Return the time below which a share ``u`` lies."""
        edges = self.on(u.device)
        wide = u.to(edges.dtype).contiguous()  # the tails are finer than float32
        cell = torch.searchsorted(edges, wide, right=True).clamp(1, CELLS) - 1
        low, high = edges[cell], edges[cell + 1]
        inside = ((wide - low) / (high - low).clamp(min=1e-300)).clamp(0, 1)
        return _time((cell + inside) / CELLS).to(u.dtype)

    def cdf(self, t: Tensor) -> Tensor:
        """Return the share of times below ``t``."""
        edges = self.on(t.device)
        place = _angle(t.to(edges.dtype)) * CELLS
        cell = place.floor().long().clamp(0, CELLS - 1)
        return torch.lerp(edges[cell], edges[cell + 1], place - cell).to(t.dtype)


@final
@dataclass(frozen=True)
class Beta(FixedTimeLaw):
    """Beta law, density proportional to ``t^(a-1) (1-t)^(b-1)``.

    Args:
        a: Exponent at noise, positive; above 1 the density vanishes at t = 0.
        b: Exponent at data, positive; above 1 the density vanishes at t = 1.

    Example:
        >>> import torch
        >>> Beta(2.0, 2.0).quantile(torch.tensor([0.5]))
        tensor([0.5000])
    """

    a: float = 2.0
    b: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "a", "b", hint="1 and 1 are uniform times.")

    @cached_property
    def _table(self) -> _Table:
        from scipy.special import betainc

        edges = _time(torch.linspace(0, 1, CELLS + 1, dtype=torch.float64))
        return _Table(torch.as_tensor(betainc(self.a, self.b, edges.numpy())))

    def quantile(self, u: Tensor) -> Tensor:
        """Return the time below which a share ``u`` lies."""
        return self._table.quantile(u)

    def cdf(self, t: Tensor) -> Tensor:
        """Return the share of times below ``t``."""
        return self._table.cdf(t)

    def log_density(self, t: Tensor) -> Tensor:
        """Return the exact log-density."""
        a, b = (torch.tensor(p, dtype=torch.float64) for p in (self.a, self.b))
        norm = float(torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b))
        return (self.a - 1) * t.log() + (self.b - 1) * (-t).log1p() - norm


@final
@dataclass(frozen=True)
class Tabulated(FixedTimeLaw):
    """Law with any positive density, given up to a factor.

    Args:
        log_weight: Logarithm of the unnormalised density at float64 times in (0, 1).

    Example:
        >>> import torch
        >>> law = Tabulated(lambda t: t.log())  # density 2 t
        >>> law.cdf(torch.tensor([0.5]))
        tensor([0.2500])
    """

    log_weight: Callable[[Tensor], Tensor] = field(default=torch.zeros_like)

    @cached_property
    def _density(self) -> tuple[_Table, float]:
        v = (torch.arange(CELLS, dtype=torch.float64) + 0.5) / CELLS
        # dt/dv = (pi / 2) sin(pi v): the mass of a cell by its midpoint
        jacobian = torch.sin(torch.pi * v) * (torch.pi / 2) / CELLS
        masses = self.log_weight(_time(v)).exp() * jacobian
        return _Table.of(masses), float(masses.sum())

    @property
    def mass(self) -> float:
        """Integral of the unnormalised density."""
        return self._density[1]

    def quantile(self, u: Tensor) -> Tensor:
        """Return the time below which a share ``u`` lies."""
        return self._density[0].quantile(u)

    def cdf(self, t: Tensor) -> Tensor:
        """Return the share of times below ``t``."""
        return self._density[0].cdf(t)

    def log_density(self, t: Tensor) -> Tensor:
        """Return the normalised log-density."""
        return self.log_weight(t) - torch.tensor(self.mass, dtype=torch.float64).log().to(t.dtype)
