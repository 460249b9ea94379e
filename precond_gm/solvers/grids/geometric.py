r"""The grid of theorem 3: uniform up to 1/2, then steps in proportion to the time left.

With step h = 1/(2M) on ``[0, 1/2]`` and ``t_k = (t_{k-1} + h) / (1 + h)`` afterwards,
``1 - t_{M+j} = (1/2) (1 + h)^{-j}``. It meets the singularity at t = 1 with a logarithmic number of
steps where a uniform grid needs a power.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from precond_gm.solvers.grids.checks import check_delta, check_steps, check_t_max

__all__ = ["geometric", "theorem3"]


def geometric(steps: int, t_max: float = 1.0, *, delta: float | None = None) -> Tensor:
    """Return the grid of theorem 3 with exactly ``steps`` steps, ending exactly at ``1 - delta``.

    M steps go to ``[0, 1/2]``; the others have the ratio that meets the end. M is the one for which
    both step sizes are closest. ``theorem3`` is the paper's own rule, whose end is rounded.

    Args:
        steps: Number of steps, at least 2.
        t_max: Largest time, in (1/2, 1].
        delta: Distance to t = 1 where the grid stops, in (0, 1/2); ``1 - t_max`` by default, and
            1e-3 if ``t_max`` is 1.

    References:
        arXiv 2606.16610, theorem 3.

    Example:
        >>> times = geometric(20, delta=1 / 64)
        >>> len(times), float(times[-1]) == 1 - 1 / 64
        (21, True)
    """
    check_steps(steps, least=2)
    asked = delta if delta is not None else (1 - check_t_max(t_max) or 1e-3)
    left = check_delta(max(asked, 1 - check_t_max(t_max)), below=0.5)

    def mismatch(half: int) -> float:
        ratio = math.expm1(-math.log(2 * left) / (steps - half))
        return abs(math.log(ratio * 2 * half))

    half = min(range(1, steps), key=mismatch)
    tail = torch.arange(1, steps - half + 1, dtype=torch.float64) / (steps - half)
    late = 1 - 0.5 * (2 * left) ** tail
    late[-1] = 1 - left
    return torch.cat([_first_half(half), late])


def theorem3(half_steps: int, delta: float) -> Tensor:
    """Return the grid of theorem 3 as printed: step 1/(2M), then j steps of ratio 1 + h.

    j is the nearest integer to ``log(1 / (2 delta)) / log(1 + h)``, so the grid ends near, not at,
    ``1 - delta``; the number of its steps is M + j.

    Args:
        half_steps: M, the number of steps on [0, 1/2].
        delta: Distance to t = 1 that is aimed at, in (0, 1/2).

    References:
        arXiv 2606.16610, theorem 3.

    Example:
        >>> len(theorem3(8, 1 / 8)) - 1
        31
    """
    check_steps(half_steps)
    h = 1 / (2 * half_steps)
    late_steps = round(-math.log(2 * check_delta(delta, below=0.5)) / math.log1p(h))
    j = torch.arange(1, late_steps + 1, dtype=torch.float64)
    return torch.cat([_first_half(half_steps), 1 - 0.5 * (1 + h) ** -j])


def _first_half(steps: int) -> Tensor:
    return torch.linspace(0.0, 0.5, steps + 1, dtype=torch.float64)
