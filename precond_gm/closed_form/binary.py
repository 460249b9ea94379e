r"""The bridge to independent fair bits: the exact posterior mean is a hyperbolic tangent."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from precond_gm.closed_form.inputs import as_rows, as_sigma, as_times
from precond_gm.closed_form.pinned import AbstractPinnedBridge, path_variance
from precond_gm.errors import InvalidInputError
from precond_gm.numerics.noise import standard_normal
from precond_gm.numerics.rows import expand
from precond_gm.values import Pairing

__all__ = ["BinaryBridge"]


@final
class BinaryBridge(AbstractPinnedBridge):
    r"""Path from N(0, I) to independent fair signs in {-1, +1}.

    ``E[z1 | x] = tanh(t x / c)`` with ``c = (1-t)^2 + sigma^2 t (1-t)``.

    Args:
        sigma: Scale of the bridge's noise; 0 is the linear path.
        dim: Number of coordinates.

    References:
        arXiv 2602.10420, section on binary data.

    Example:
        >>> import torch
        >>> from precond_gm.closed_form import BinaryBridge
        >>> bridge = BinaryBridge()
        >>> bool(bridge.posterior_mean(1.0, torch.full((1, 1), 0.9)) == 1.0)
        True
    """

    def __init__(self, sigma: float = math.sqrt(2), dim: int = 1) -> None:
        if dim < 1:
            raise InvalidInputError(f"dim is {dim}; a bridge has at least one coordinate.")
        self.sigma = as_sigma(sigma)
        self._dim = dim

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self._dim

    def logit(self, t: Tensor | float, z: Tensor) -> Tensor:
        """Return ``log P(+1 | z_t = z) / P(-1 | z_t = z) = 2 t z / c``, per coordinate."""
        return self._logit(as_times(t, as_rows(z, self.dim)), z)

    def sample_pairs(self, n: int, *, generator: torch.Generator | None = None) -> Pairing:
        """Draw ``n`` independent ends, float64, shape ``n dim``."""
        z0 = standard_normal(torch.empty(n, self.dim, dtype=torch.float64), generator)
        return Pairing(z0, standard_normal(z0, generator).sign())

    def _posterior_mean(self, t: Tensor, x: Tensor) -> Tensor:
        return (0.5 * self._logit(t, x)).tanh()

    def _log_density(self, t: Tensor, x: Tensor) -> Tensor:
        self._require_density(t)
        t_row, c = expand(t, x), expand(path_variance(t, self.sigma), x)
        logit = self._logit(t, x)
        near = -0.5 * (x - t_row) ** 2 / c - logsigmoid(logit)  # log of the sum over both signs
        return (near - 0.5 * (8 * math.pi * c).log()).sum(1).to(x.dtype)

    def _logit(self, t: Tensor, z: Tensor) -> Tensor:
        # A variance of zero (t = 1) becomes the limit: the sign, and no preference at z = 0.
        variance = path_variance(t, self.sigma).clamp_min(1e-30)
        return expand((2 * t / variance).to(z.dtype), z) * z
