"""Grids that depend on nothing but numbers. Options have defaults, so each is usable by name."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.solvers.grids.checks import check_delta, check_steps, check_t_max

__all__ = ["early_stopping", "edm", "shifted", "uniform"]


def uniform(steps: int, t_max: float = 1.0) -> Tensor:
    """Return equal steps on ``[0, t_max]``.

    Example:
        >>> uniform(4).tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    check_steps(steps)
    return torch.linspace(0.0, check_t_max(t_max), steps + 1, dtype=torch.float64)


def early_stopping(steps: int, t_max: float = 1.0, *, delta: float = 1e-3) -> Tensor:
    """Return equal steps that stop ``delta`` before the data, or at ``t_max`` if that is earlier.

    Args:
        steps: Number of steps.
        t_max: Largest time, in (0, 1].
        delta: Distance to t = 1, in (0, 1).

    References:
        arXiv 2606.16610, theorem 2.

    Example:
        >>> early_stopping(2, delta=0.5).tolist()
        [0.0, 0.25, 0.5]
    """
    return uniform(steps, min(check_t_max(t_max), 1 - check_delta(delta)))


def edm(
    steps: int,
    t_max: float = 1.0,
    *,
    rho: float = 7.0,
    s_min: float = 0.002,
    s_max: float = 80.0,
) -> Tensor:
    r"""Return the noise levels of EDM as times, ``t = 1 / (1 + s)`` with ``s = (1 - t) / t``.

    Levels go from ``s_max`` to ``s_min`` in equal steps of :math:`s^{1/\rho}`, then to 0. The first
    time is 0 rather than ``1 / (1 + s_max)``, since sampling starts from pure noise; the whole grid
    is scaled by ``t_max``.

    Args:
        steps: Number of steps, at least 2.
        t_max: Largest time, in (0, 1].
        rho: Exponent; larger means more steps near the data.
        s_min: Last level before 0.
        s_max: First level.

    References:
        Karras et al., arXiv 2206.00364, equation 5.

    Example:
        >>> [round(t, 3) for t in edm(4).tolist()]
        [0.0, 0.093, 0.68, 0.998, 1.0]
    """
    check_steps(steps, least=2)
    if not (0 < s_min < s_max and rho > 0):
        raise InvalidInputError(
            f"edm needs 0 < s_min < s_max and rho > 0; got s_min={s_min}, s_max={s_max}, rho={rho}."
        )
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    levels = (s_max ** (1 / rho) + ramp * (s_min ** (1 / rho) - s_max ** (1 / rho))) ** rho
    times = torch.cat([1 / (1 + levels), torch.ones(1, dtype=torch.float64)])
    times[0] = 0.0
    return check_t_max(t_max) * times


def shifted(steps: int, t_max: float = 1.0, *, shift: float = 3.0) -> Tensor:
    """Return ``t / (a - (a - 1) t)`` of a uniform grid, scaled by ``t_max``.

    Args:
        steps: Number of steps.
        t_max: Largest time, in (0, 1].
        shift: The factor a; above 1 puts more steps near the noise, below 1 near the data.

    References:
        Esser et al., arXiv 2403.03206, section 5.3.2 (their t runs the other way).

    Example:
        >>> shifted(2).tolist()
        [0.0, 0.25, 1.0]
    """
    if not shift > 0:
        raise InvalidInputError(f"shift is {shift}; it is positive, and 1 changes nothing.")
    t = uniform(steps)
    return check_t_max(t_max) * t / (shift - (shift - 1) * t)
