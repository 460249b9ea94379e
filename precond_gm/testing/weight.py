"""Contract check of a weight: run it on your own class."""

from __future__ import annotations

import torch

from precond_gm.objectives.adaptive import AbstractAdaptive
from precond_gm.objectives.weights import REGISTRY, AbstractWeight
from precond_gm.paths import BrownianBridge, LinearPath

__all__ = ["check_weight"]


def check_weight(weight: str | AbstractWeight) -> None:
    """Check that a weight keeps its contract.

    One number per row, positive and finite inside (0, 1) on the linear path and on the bridge, in
    float32 and float64, before and after it learned from a batch; a penalty, if any, has the same
    shape.

    Args:
        weight: Name in the registry, or an instance.

    Raises:
        AssertionError: With what is wrong.

    Example:
        >>> check_weight("constant")
    """
    part = REGISTRY.resolve(weight)
    _check_values(part)
    if isinstance(part, AbstractAdaptive):
        t = torch.linspace(0.01, 0.99, 64)
        loss = 1 + torch.rand(64, generator=torch.Generator().manual_seed(0)) * t
        part.observe(t, loss, loss)
        _check_values(part)


def _check_values(part: AbstractWeight) -> None:
    for path in (LinearPath(), BrownianBridge()):
        for dtype in (torch.float32, torch.float64):
            t = torch.linspace(0.001, 0.999, 101, dtype=dtype)
            value = part(t, path.coefficients(t))
            assert value.shape == t.shape, f"{part!r}: shape {tuple(value.shape)} for {t.shape}"
            assert value.dtype == dtype, f"{part!r}: {value.dtype} for times in {dtype}"
            good = torch.isfinite(value) & (value > 0)
            assert bool(good.all()), f"{part!r}: not positive and finite at t = {t[~good][:3]}"
            penalty = part.penalty(t)
            assert penalty is None or penalty.shape == t.shape, f"{part!r}: penalty of wrong shape"
