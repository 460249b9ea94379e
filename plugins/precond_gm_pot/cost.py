"""Transport costs of a batch, scaled so that no number overflows."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.rows import flatten

__all__ = ["mean_cost", "squared_distances", "unit_rows"]


def unit_rows(z0: Tensor, z1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Flatten both ends, centre them on the data, and divide by the largest entry.

    A common shift and scale change neither the plan nor its order of costs, but squares of
    entries near 1e20 would overflow in float32. bfloat16 and float16 are cast up.

    Returns:
        Both ends and the scale that was taken out.

    Raises:
        InvalidInputError: NaN or infinity.
    """
    dtype = torch.promote_types(torch.promote_types(z0.dtype, z1.dtype), torch.float32)
    rows0, rows1 = flatten(z0).to(dtype), flatten(z1).to(dtype)
    scale = torch.maximum(_largest(rows0), _largest(rows1))
    if not bool(torch.isfinite(scale)):
        raise InvalidInputError(
            "the transport cost is not finite: noise or data hold NaN or infinity. Check the data "
            "where they enter, with precond_gm.numerics.rows.check_rows for example."
        )
    scale = scale.clamp_min(torch.finfo(dtype).tiny)
    rows0, rows1 = rows0 / scale, rows1 / scale
    mean = rows1.mean(0)
    return rows0.sub_(mean), rows1.sub_(mean), scale


def squared_distances(rows1: Tensor, rows0: Tensor) -> Tensor:
    """Return ``|rows1_i - rows0_j|^2``, data in rows, by one matrix product; groups may lead."""
    square1, square0 = (torch.linalg.vector_norm(r, dim=-1).square_() for r in (rows1, rows0))
    cost = (rows1 @ rows0.mT).mul_(-2.0)
    return cost.add_(square1[..., :, None]).add_(square0[..., None, :]).clamp_min_(0.0)


def mean_cost(cost: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of each group's costs, under the weights of its rows."""
    return (weight[:, None, :] @ cost @ weight[:, :, None])[:, 0, 0]


def _largest(rows: Tensor) -> Tensor:
    """Return the largest absolute entry; NaN if there is one."""
    low, high = torch.aminmax(rows)
    return torch.maximum(-low, high)
