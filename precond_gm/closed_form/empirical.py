r"""The bridge to a data set: the optimum of the training loss, which memorises."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor

from precond_gm.closed_form.inputs import as_sigma
from precond_gm.closed_form.pinned import AbstractPinnedBridge, path_variance
from precond_gm.closed_form.shares import shares
from precond_gm.numerics.noise import standard_normal
from precond_gm.numerics.rows import check_rows, flatten
from precond_gm.values import Pairing

__all__ = ["EmpiricalBridge"]

_BLOCK = 1024  # rows at once
_ENTRIES = {"cpu": 2**20, "cuda": 2**26}  # of one block of the matrix rows by data


@final
class EmpiricalBridge(AbstractPinnedBridge):
    r"""Path from N(0, I) to the rows of a data set, each with the same probability.

    ``E[z1 | x] = sum_j softmax_j(-|x - t x_j|^2 / (2 a)) x_j``. Data and rows are done in blocks
    with a running softmax: memory stays bounded whatever the number of rows.

    Args:
        data: Rows, shape ``n *event``; their dtype is the one in which everything is computed.
        sigma: Scale of the bridge's noise; 0 is the linear path.

    Raises:
        InvalidInputError: No rows, NaN or infinity.

    Example:
        >>> import torch
        >>> from precond_gm.closed_form import EmpiricalBridge
        >>> bridge = EmpiricalBridge(torch.tensor([[-1.0], [1.0]]).double())
        >>> float(bridge.posterior_mean(0.5, torch.zeros(1, 1).double()))
        0.0
    """

    def __init__(self, data: Tensor, sigma: float = math.sqrt(2)) -> None:
        self.data = flatten(check_rows(data, name="data"))
        self.sigma = as_sigma(sigma)
        # |x - t x_j|^2 by the squares' expansion loses digits when rows lie far from the origin,
        # so everything is measured from the mean of the data.
        self._centre = self.data.mean(0)
        self._moved = self.data - self._centre
        self._norms = self._moved.square().sum(1)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.data.shape[1]

    def sample_pairs(self, n: int, *, generator: torch.Generator | None = None) -> Pairing:
        """Draw ``n`` independent ends, shape ``n dim``, in the dtype of the data."""
        device = generator.device if generator is not None else self.data.device
        drawn = torch.randint(self.data.shape[0], (n,), generator=generator, device=device)
        z1 = self.data[drawn.to(self.data.device)]
        return Pairing(standard_normal(z1, generator), z1)

    def _posterior_mean(self, t: Tensor, x: Tensor) -> Tensor:
        parts = [self._fold(when, some)[1] for when, some in self._row_blocks(t, x)]
        return (torch.cat(parts) + self._centre).to(x.dtype)

    def _log_density(self, t: Tensor, x: Tensor) -> Tensor:
        self._require_density(t)
        total = torch.cat([self._fold(when, some)[0] for when, some in self._row_blocks(t, x)])
        variance = path_variance(t, self.sigma)
        constant = 0.5 * self.dim * (2 * math.pi * variance).log() + math.log(self.data.shape[0])
        return (total - constant).to(x.dtype)

    def _fold(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-sum of the weights and the weighted mean of the centred data, per row."""
        # A variance of zero (t = 1) becomes the limit: the nearest row takes all.
        variance = path_variance(t, self.sigma).clamp_min(1e-30).to(self.data).unsqueeze(-1)
        t = t.to(self.data).unsqueeze(-1)
        y = x.to(self.data.dtype) - t * self._centre
        squares = y.square().sum(1, keepdim=True)
        peak = y.new_full((y.shape[0], 1), -torch.inf)  # largest logit so far
        total, weighted = torch.zeros_like(peak), torch.zeros_like(y)
        columns = max(1, _ENTRIES["cuda" if x.is_cuda else "cpu"] // x.shape[0])
        for start in range(0, self._moved.shape[0], columns):
            data = self._moved[start : start + columns]
            norms = self._norms[start : start + columns]
            inner = t * (y @ data.mT) - 0.5 * t**2 * norms
            logits = (inner - 0.5 * squares) / variance
            before, peak = peak, torch.maximum(peak, logits.detach().amax(1, keepdim=True))
            share, kept = shares(logits, peak), (before - peak).exp()
            total = total * kept + share.sum(1, keepdim=True)
            weighted = torch.addmm(weighted * kept, share, data)
        return (peak + total.log()).squeeze(1), weighted / total

    def _row_blocks(self, t: Tensor, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, x.shape[0], _BLOCK):
            rows = slice(start, start + _BLOCK)
            yield (t if t.shape[0] == 1 else t[rows]), x[rows]
