r"""Transport costs of a batch, in parts and units that keep their digits.

For data u and noise v, each less its own mean, and the gap g between the means,

.. math::
    \| (u_i + g) - v_j \|^2 = \| u_i - v_j \|^2 + 2 g \cdot u_i - 2 g \cdot v_j + \| g \|^2

Far from the origin the last three are large, and in float32 they would swallow the first. A plan
that keeps both marginals depends on the first alone; one that does not depends on all but the last,
or on their sum, if its temperature is a share of that: rounding is as small beside it.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.rows import flatten

__all__ = ["Ends", "ends_of", "mean_cost", "squared_distances"]

FEW_ROWS = 64  # of a group


@dataclass(frozen=True)
class Ends:
    """Both ends of a batch as flat rows, and the costs between them; groups may lead.

    Costs have the data in rows and the noise in columns, in units of ``scale**2``.

    Attributes:
        rows0: Noise, shape ``batch dim``, in float32 at least.
        rows1: Data, of the same shape.
        scale: What both were divided by.
        weight: Of each row of a group, adding up to one; None makes them equal.
    """

    rows0: Tensor
    rows1: Tensor
    scale: Tensor
    weight: Tensor | None = None

    @property
    def gap(self) -> Tensor:
        """Mean of the data less mean of the noise, shape ``dim``."""
        return (self._mean1 - self._mean0)[..., 0, :]

    @property
    def cost(self) -> Tensor:
        """The costs, right to a rounding of the largest."""
        return squared_distances(self.rows1 - self._mean0, self._centred0)

    @cached_property
    def centred_cost(self) -> Tensor:
        """The costs as far as a plan that keeps both marginals depends on them."""
        return squared_distances(self._centred1, self._centred0)

    @property
    def inner_cost(self) -> Tensor:
        """The costs as far as a permutation depends on them: half of them, without any norm."""
        return (self._mean1 - self.rows1) @ self._centred0.mT

    @property
    def cost_but_constant(self) -> Tensor:
        """The costs less ``|gap|^2``; negative ones may be among them."""
        twice = 2 * self.gap[..., None]
        data, noise = self._centred1 @ twice, self._centred0 @ twice
        return self.centred_cost + data - noise.mT

    @cached_property
    def _centred0(self) -> Tensor:
        return self.rows0 - self._mean0

    @cached_property
    def _centred1(self) -> Tensor:
        return self.rows1 - self._mean1

    @cached_property
    def _mean0(self) -> Tensor:
        return self._mean(self.rows0)

    @cached_property
    def _mean1(self) -> Tensor:
        return self._mean(self.rows1)

    def _mean(self, rows: Tensor) -> Tensor:
        """Return the mean of each group of rows, shape ``1 dim``."""
        if self.weight is None:
            return rows.mean(-2, keepdim=True)
        return self.weight[..., None, :] @ rows


def ends_of(z0: Tensor, z1: Tensor) -> Ends:
    """Flatten both ends, and divide them by a power of two near their largest entry.

    That rounds nothing, and changes neither the plan nor the order of costs; squares of entries
    near 1e20 would overflow in float32. bfloat16 and float16 are cast up.

    Raises:
        InvalidInputError: NaN or infinity.
    """
    dtype = torch.promote_types(torch.promote_types(z0.dtype, z1.dtype), torch.float32)
    rows0, rows1 = flatten(z0).to(dtype), flatten(z1).to(dtype)
    tops = [abs(float(end)) for rows in (rows0, rows1) for end in torch.aminmax(rows)]
    limits, top = torch.finfo(dtype), max(tops)
    if not all(each <= limits.max for each in tops):
        raise InvalidInputError(
            "the transport cost is not finite: noise or data hold NaN or infinity. Check the data "
            "where they enter, with precond_gm.numerics.rows.check_rows for example."
        )
    if top > (limits.max / (4 * rows0.shape[1])) ** 0.5:
        warnings.warn(  # the same words for every batch, so that Python shows them once
            f"transport: entries are so large that their squared distances overflow in {dtype}. "
            f"Plans are made in units of the largest entry and are right; losses and costs "
            f"computed from these rows are not. Rescale the data, with a preconditioner for "
            f"example.",
            RuntimeWarning,
            stacklevel=2,
        )
    scale = rows0.new_full((), max(2.0 ** (math.frexp(top)[1] - 1), limits.tiny))
    return Ends(rows0 / scale, rows1 / scale, scale)


def mean_cost(cost: Tensor, weight: Tensor) -> Tensor:
    """Return the mean cost of each group under the weights of its rows, shape ``groups``."""
    return (weight[:, None, :] @ cost @ weight[:, :, None])[:, 0, 0]


def squared_distances(rows1: Tensor, rows0: Tensor) -> Tensor:
    """Return ``|rows1_i - rows0_j|^2``, data in rows, by one matrix product; groups may lead.

    NumPy multiplies ten groups of 19 rows of 784 features in a quarter of torch's time on a CPU
    (0.12 against 0.5 ms), and its calls are shorter; with more rows both take the same.
    """
    few = rows1.shape[-2] <= FEW_ROWS and rows1.device.type == "cpu"
    xp: Any = np if few else torch
    data, noise = (rows.numpy() if few else rows for rows in (rows1, rows0))
    cost = xp.matmul(data, xp.swapaxes(noise, -1, -2))
    cost *= -2.0
    cost += xp.linalg.vecdot(data, data)[..., :, None]
    cost += xp.linalg.vecdot(noise, noise)[..., None, :]
    return torch.as_tensor(cost).clamp_min_(0.0)
