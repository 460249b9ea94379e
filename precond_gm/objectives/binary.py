r"""Binary data: the logits that are exact for one fair bit, and what the network adds to them.

A bit with values low < high, both equally likely, and a source N(0, 1) that is independent of it:
``z_t = beta x_1 + sqrt(c) n`` with ``c = alpha^2 + gamma^2``, so the posterior log-odds are

.. math::
    \frac{\beta (h - l)}{c} \Bigl(z - \beta \frac{h + l}{2}\Bigr)

which is ``2 t z / c`` for {-1, +1} and ``t (z - t/2) / c`` for {0, 1}. A network that predicts the
rest need not learn a function that becomes infinitely steep at t = 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from torch import Tensor, nn

from precond_gm.errors import IncompatiblePartsError
from precond_gm.numerics.rows import RowsLike, batches, expand
from precond_gm.objectives.divergences.base import AbstractDivergence
from precond_gm.objectives.divergences.domain import Domain
from precond_gm.objectives.implied import PathLike

__all__ = ["BitLogits", "check_preconditioned", "check_rows_are_not_bits", "fair_bit_logit"]

WHY = (
    "A preconditioner moves every state, so that the states are bits no more: posteriors have no "
    "closed form, logits no meaning, and nothing can be rounded at the end. Use "
    "preconditioner='identity'"
)


def fair_bit_logit(path: PathLike, t: Tensor, z: Tensor, low: float, high: float) -> Tensor:
    """Return the exact posterior log-odds of independent fair bits.

    Args:
        path: The path; its source is N(0, I) and independent of the data.
        t: Times, shape batch.
        z: Points, shape ``batch *event``.
        low: Lower value of a bit.
        high: Upper value of a bit.

    References:
        arXiv:2602.10420; the formula follows from the path's coefficients.
    """
    c = path.coefficients(t)
    variance = (c.alpha.square() + c.variance).clamp(min=1e-12)  # 0 at t = 1: keep 0 * inf away
    centred = z - expand(c.beta, z) * ((high + low) / 2)
    return expand(c.beta * (high - low) / variance, z) * centred


@final
class BitLogits(nn.Module):
    """Field of x1-logits: the exact logit of fair bits plus what a network says.

    Use it with ``prediction="x1"`` and the divergence ``("bce", {"low": ..., "high": ...})``.

    Args:
        field: Callable ``(t, z, label) -> tensor`` of the shape of z.
        path: The path; its source is N(0, I) and independent of the data.
        low: Lower value of a bit.
        high: Upper value of a bit.

    Example:
        >>> import torch
        >>> from precond_gm.paths import LinearPath
        >>> field = BitLogits(lambda t, z, label: 0 * z, LinearPath(), low=-1.0)
        >>> t, z = torch.tensor([0.5]), torch.tensor([[0.3]])
        >>> bool(torch.isclose(field(t, z), torch.tensor([[2 * 0.5 * 0.3 / 0.25]])))
        True
    """

    def __init__(
        self,
        field: Callable[..., Tensor],
        path: PathLike,
        *,
        low: float = 0.0,
        high: float = 1.0,
    ) -> None:
        super().__init__()
        self.field = field
        self.path = path
        self.low = low
        self.high = high

    def forward(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the logits of the upper value."""
        return fair_bit_logit(self.path, t, z, self.low, self.high) + self.field(t, z, label)


def check_preconditioned(divergence: AbstractDivergence, preconditioner: object) -> None:
    """Refuse a preconditioner under a divergence that judges states of their own kind.

    Args:
        divergence: The divergence.
        preconditioner: A map that is not the identity, for the message.

    Raises:
        IncompatiblePartsError: The domain of the divergence is not R^d.
    """
    if divergence.domain is not Domain.REAL:
        raise IncompatiblePartsError(
            f"{divergence!r} judges {divergence.domain.value} and cannot follow "
            f"{type(preconditioner).__name__} into z. {WHY} with it, or the divergence 'squared'."
        )


def check_rows_are_not_bits(x: RowsLike, preconditioner: object) -> None:
    """Refuse to fit a preconditioner to rows that hold two values only.

    Args:
        x: Rows, or an iterable of batches, read until a third value is met.
        preconditioner: A map that is not the identity, for the message.

    Raises:
        IncompatiblePartsError: Every entry is {0, 1}, or every entry is {-1, 1}.
    """
    low: Tensor | None = None
    for part in batches(x):
        low = part.x.min() if low is None else low
        if not bool(((part.x == low) | (part.x == 1)).all()) or float(low) not in (0.0, -1.0):
            return
    if low is not None:
        raise IncompatiblePartsError(
            f"every entry of the data is {float(low):g} or 1, and {type(preconditioner).__name__} "
            f"was asked to precondition them. {WHY}, or dequantise the data first."
        )
