"""Contract check of a time law: run it on your own class."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.objectives.adaptive import AbstractAdaptive
from precond_gm.objectives.time_laws import REGISTRY, AbstractTimeLaw

__all__ = ["check_time_law"]


def check_time_law(law: str | AbstractTimeLaw) -> None:
    """Check that a time law keeps its contract.

    Quantile and distribution function undo each other; the density is the derivative of the
    distribution function (oracle: central differences); samples lie strictly inside (0, t_max),
    repeat with the generator, leave the global generator alone, and follow the distribution
    function (Kolmogorov's distance below 2 / sqrt(n), exceeded once in 1,500 draws).

    Args:
        law: Name in the registry, or an instance. It learns from one batch here if it adapts.

    Raises:
        AssertionError: With what is wrong.

    Example:
        >>> check_time_law("uniform")
    """
    part = REGISTRY.resolve(law)
    if isinstance(part, AbstractAdaptive):
        t = torch.linspace(0.01, 0.99, 256)
        part.observe(t, 1 + t, 1 + t)
    if not part.is_discrete:
        _check_inverse(part)
        _check_density(part)
    for dtype in (torch.float32, torch.float64):
        _check_samples(part, dtype, t_max=1.0)
        _check_samples(part, dtype, t_max=0.75)


def _check_inverse(part: AbstractTimeLaw) -> None:
    u = torch.linspace(0.001, 0.999, 333, dtype=torch.float64)
    t = part.quantile(u)
    assert bool((t.diff() > 0).all()), f"{part!r}: the quantile function does not increase"
    torch.testing.assert_close(
        part.cdf(t), u, rtol=0, atol=1e-6, msg=f"{part!r}: cdf does not undo quantile"
    )
    ends = part.quantile(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert bool(((ends >= 0) & (ends <= 1)).all()), f"{part!r}: times outside [0, 1]: {ends}"


def _check_density(part: AbstractTimeLaw) -> None:
    # 997 cells share no edge with a table of a power of two, so kinks are met by few of them
    edges = torch.linspace(0, 1, 998, dtype=torch.float64)[20:-20]
    slope = part.cdf(edges).diff() / edges.diff()
    middle = (edges[1:] + edges[:-1]) / 2
    density = part.log_density(middle).exp()
    wrong = (slope - density).abs() > 1e-3 * (1 + density)
    share = float(wrong.double().mean())
    assert share < 0.05, f"{part!r}: the density is not the slope of cdf at {share:.0%} of times"


def _check_samples(part: AbstractTimeLaw, dtype: torch.dtype, t_max: float) -> None:
    n = 4096

    def draw(seed: int) -> Tensor:
        source = torch.Generator().manual_seed(seed)
        return part.sample(n, t_max=t_max, dtype=dtype, generator=source)

    state = torch.get_rng_state()
    t = draw(0)
    assert torch.equal(t, draw(0)), f"{part!r}: the same generator, other times"
    assert torch.equal(state, torch.get_rng_state()), f"{part!r}: drew from the global generator"
    assert t.shape == (n,), f"{part!r}: {tuple(t.shape)} for {n} times"
    assert t.dtype == dtype, f"{part!r}: {t.dtype} for {dtype}"
    inside = (t > 0) & (t < 1) & (t <= t_max)
    assert bool(inside.all()), f"{part!r}: times outside (0, {t_max})"
    ranked = t.double().sort().values
    cut = part.cdf(torch.tensor(t_max, dtype=torch.float64)) if t_max < 1 else torch.tensor(1.0)
    share = part.cdf(ranked) / cut
    steps = torch.arange(1, n + 1, dtype=torch.float64) / n
    distance = float((share - steps).abs().max())
    limit = 2 / n**0.5
    assert distance < limit, f"{part!r}: samples do not follow cdf (distance {distance:.3f})"
