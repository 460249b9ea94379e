r"""What a solver does to variances when the field is exact: to be shown beside any recovery.

For a Gaussian target and independent N(0, I) noise the exact velocity or drift is linear along
each eigen-direction, so the variance after n steps follows by recursion, without sampling. On the
bridge Euler-Maruyama itself inflates small variances: 1e-3 becomes some twenty times as large with
100 equal steps. A recovery above 1 says something about training only beyond this figure.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from precond_gm.numerics.regression import target_row
from precond_gm.values import Coefficients, TargetKind

__all__ = ["exact_field_recovery"]


def exact_field_recovery(
    eigenvalues: Tensor,
    coefficients: Callable[[Tensor], Coefficients],
    kind: TargetKind,
    times: Tensor,
    *,
    order: int = 1,
) -> Tensor:
    r"""Return generated over true variance for the exact Gaussian field on a grid.

    Args:
        eigenvalues: Variances of the data along its eigen-directions, in the flow's coordinates.
        coefficients: The path's coefficients, as a function of times.
        kind: What is integrated: ``VELOCITY`` or ``DRIFT``.
        times: Increasing times of the grid.
        order: 1 for Euler and Euler-Maruyama, 2 for Heun (ODE paths only).

    Example:
        >>> import torch
        >>> from precond_gm.paths import BrownianBridge
        >>> path = BrownianBridge()
        >>> grid = torch.linspace(0, 1, 101, dtype=torch.float64)
        >>> small = torch.tensor([1e-3], dtype=torch.float64)
        >>> ratio = exact_field_recovery(small, path.coefficients, path.kind, grid)
        >>> 15 < float(ratio) < 25
        True
    """
    times, eigenvalues = times.to(eigenvalues), eigenvalues.clone()
    inner = coefficients(times[:-1])
    start = inner.alpha[0] ** 2 + inner.beta[0] ** 2 * eigenvalues + inner.variance[0]
    variance = start.clone()
    steps = times.diff()
    rates = _rates(eigenvalues, inner, kind)
    for index, h in enumerate(steps):
        factor = 1 + h * rates[index]
        is_last = index + 1 == len(steps)  # the field may be singular at t = 1: end with Euler
        if order == 2 and not is_last:
            factor = 1 + h / 2 * (rates[index] + rates[index + 1] * factor)
        variance = factor.square() * variance + inner.diffusion**2 * h
    last = coefficients(times[-1:])
    return variance / (last.alpha**2 + last.beta**2 * eigenvalues + last.variance)


def _rates(eigenvalues: Tensor, c: Coefficients, kind: TargetKind) -> Tensor:
    """Return the factor of z in the exact field, shape ``times dim``."""
    row = target_row(c, kind)
    joint = (row.source * c.alpha + row.noise)[:, None]
    joint = joint + (row.data * c.beta)[:, None] * eigenvalues
    total = (c.alpha**2 + c.variance)[:, None] + c.beta[:, None] ** 2 * eigenvalues
    return joint / total
