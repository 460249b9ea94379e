r"""Transport costs of a batch, in parts and units that keep their digits.

For data u and noise v, each less its own mean, and the gap g between the means,

.. math::
    \| (u_i + g) - v_j \|^2 = \| u_i - v_j \|^2 + 2 g \cdot u_i - 2 g \cdot v_j + \| g \|^2

Far from the origin the last three are large, and in float32 they would swallow the first. A plan
that keeps both marginals depends on the first alone; one that does not depends on all but the last.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.rows import flatten

__all__ = ["Costs", "Ends", "costs_of", "squared_distances", "unit_rows"]


@dataclass(frozen=True)
class Ends:
    """Both ends of a batch as flat rows, each less its own mean, in units of ``scale``.

    Attributes:
        rows0: Noise, shape ``batch dim``, in float32 at least.
        rows1: Data, of the same shape.
        gap: Mean of the data less mean of the noise, shape ``dim``.
        scale: A power of two near the largest entry, so that dividing by it rounds nothing.
    """

    rows0: Tensor
    rows1: Tensor
    gap: Tensor
    scale: Tensor


@dataclass(frozen=True)
class Costs:
    """Squared distances, data in rows and noise in columns, in units of ``scale**2``.

    Attributes:
        centred: Squared distances of rows less their means, shape ``data noise``; groups may lead.
        data: What each data row adds to its costs, shape ``data``.
        noise: What each noise row adds to its costs, shape ``noise``.
        constant: What every cost has besides, one number for each group.
        scale: What the rows were divided by.
    """

    centred: Tensor
    data: Tensor
    noise: Tensor
    constant: Tensor
    scale: Tensor

    @property
    def but_constant(self) -> Tensor:
        """The costs less their constant; negative ones may be among them."""
        return self.centred + self.data[..., :, None] + self.noise[..., None, :]

    def mean(self, weight: Tensor) -> Tensor:
        """Return the mean cost of each group, constant and all, under the weights of its rows."""
        each = weight[:, None, :] @ self.centred @ weight[:, :, None]
        return each[:, 0, 0] + (weight * (self.data + self.noise)).sum(1) + self.constant


def unit_rows(z0: Tensor, z1: Tensor) -> Ends:
    """Flatten both ends, divide them by their largest entry, and centre each on its own mean.

    A common scale changes neither the plan nor its order of costs, but squares of entries near
    1e20 would overflow in float32. bfloat16 and float16 are cast up.

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
    rows0, rows1 = rows0 / scale, rows1 / scale
    mean0, mean1 = rows0.mean(0), rows1.mean(0)
    return Ends(rows0.sub_(mean0), rows1.sub_(mean1), mean1 - mean0, scale)


def costs_of(rows1: Tensor, rows0: Tensor, gap: Tensor, scale: Tensor) -> Costs:
    """Return the costs between centred rows whose means are ``gap`` apart; groups may lead."""
    twice = 2 * gap[..., None]
    return Costs(
        squared_distances(rows1, rows0),
        (rows1 @ twice)[..., 0],
        -(rows0 @ twice)[..., 0],
        gap.square().sum(-1),
        scale,
    )


def squared_distances(rows1: Tensor, rows0: Tensor) -> Tensor:
    """Return ``|rows1_i - rows0_j|^2``, data in rows, by one matrix product; groups may lead."""
    square1, square0 = (torch.linalg.vector_norm(r, dim=-1).square_() for r in (rows1, rows0))
    cost = (rows1 @ rows0.mT).mul_(-2.0)
    return cost.add_(square1[..., :, None]).add_(square0[..., None, :]).clamp_min_(0.0)
