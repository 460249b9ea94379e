r"""How fast gradient descent on a regression loss learns each direction, from eigenvalues alone.

Linear regression of the target on z_t at fixed t, half the squared loss, step size eta: the error
along an eigenvector of Sigma_t with eigenvalue s shrinks by ``1 - eta s`` in each step, and the
excess risk is ``tr[(W - W*) Sigma_t (W - W*)^T]``. Directions with small s are slow, and since s
also weighs them in the risk, they are nearly invisible in the loss: that is the plateau.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["best_rate", "contraction", "steps_until"]


def best_rate(eigenvalues: Tensor) -> Tensor:
    """Return the step size ``2 / (smallest + largest)`` that makes the slowest mode fastest."""
    return 2 / (eigenvalues[..., 0] + eigenvalues[..., -1])


def contraction(eigenvalues: Tensor, rate: float | Tensor, steps: int) -> Tensor:
    r"""Return ``(1 - eta s)**k``: what is left of the error along each direction after k steps.

    Args:
        eigenvalues: Of Sigma_t (not of the data), ascending along the last axis.
        rate: Step size eta; one for all, or one per leading index.
        steps: Number of steps k.

    References:
        2603.02337, section 3.

    Example:
        >>> import torch
        >>> contraction(torch.tensor([0.5, 1.0]), 1.0, 2)
        tensor([0.2500, 0.0000])
    """
    rate = torch.as_tensor(rate, dtype=eigenvalues.dtype, device=eigenvalues.device)
    return (1 - rate[..., None] * eigenvalues) ** steps


def steps_until(condition_number: Tensor, factor: float) -> Tensor:
    """Return the steps at the best rate until every error is below ``factor``.

    With ``kappa`` the condition number, each step leaves ``(kappa - 1) / (kappa + 1)`` of the
    slowest mode, so the answer is about ``kappa / 2 * log(1 / factor)``.

    Args:
        condition_number: Of Sigma_t, any shape.
        factor: What may be left, in (0, 1).
    """
    target = torch.log(torch.as_tensor(factor, dtype=condition_number.dtype))
    # log((k - 1)/(k + 1)) without cancellation for large k
    return target / torch.log1p(-2 / (condition_number + 1))
