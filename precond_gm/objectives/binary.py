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

from precond_gm.numerics.rows import expand
from precond_gm.objectives.implied import PathLike

__all__ = ["BitLogits", "fair_bit_logit"]


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
