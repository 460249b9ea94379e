"""The user's own schedules: ends up to rounding, names for those that ship, values looked at."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.paths import AbstractPath, Interpolant, VariancePreserving, Warped
from precond_gm.paths.interpolant import falling, rising
from precond_gm.paths.warped import smoothstep
from precond_gm.testing.path import check_path

HALF = math.pi / 2


def cosine(t: Tensor) -> Tensor:
    """Return a cosine that ends at 6e-17, not at 0."""
    return torch.cos(HALF * t)


ROUNDED: list[Callable[[], AbstractPath]] = [
    lambda: Interpolant(alpha=cosine),
    lambda: Interpolant(variance=lambda t: torch.sin(math.pi * t) ** 2),
    lambda: VariancePreserving(signal=lambda t: cosine(1 - t)),
    lambda: Warped(lambda t: 1 - cosine(t)),
]


@pytest.mark.parametrize("make", ROUNDED)
def test_ends_that_rounding_missed_are_exact(make: Callable[[], AbstractPath]) -> None:
    """Oracle: the contract of a path, whose ends are exactly z0 and z1 in both precisions."""
    check_path(make())


def test_a_signal_above_one_by_rounding_is_one() -> None:
    """sin(HALF t) with a factor of 1 + 2e-16. Oracle: no NaN from 1 - beta^2 next to the end."""
    path = VariancePreserving(signal=lambda t: torch.sin(HALF * t) * (1 + 2**-52))
    c = path.coefficients(torch.tensor([1 - 2**-53, 1.0], dtype=torch.float64))
    assert float(c.beta.max()) == 1.0
    assert bool((c.alpha >= 0).all())


def test_what_ships_is_kept_by_name() -> None:
    """A name can be saved, a function cannot. Oracle: the default, which is a name."""
    assert Warped(smoothstep) == Warped() == Warped("smoothstep")
    assert Interpolant(falling, rising) == Interpolant()


def broken(t: Tensor) -> Tensor:
    """Return t, with NaN at one half."""
    return torch.where(t == 0.5, torch.nan, t)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Warped("smooth"), "schedule is one of smoothstep or a function of times; got 'sm"),
        (lambda: Interpolant(alpha=1.0), "alpha is one of falling or a function of times; got 1.0"),
        (
            lambda: Interpolant(variance=lambda t: t * (1 - t) * (1 - 2 * t)),
            r"variance is -0\.\d+ at t = 0\.50\d+; it is finite and in \[0, inf\]",
        ),
        (
            lambda: VariancePreserving(signal=lambda t: t + t * (1 - t) * 3),
            r"signal is 1\.\d+ at t = 0\.33\d+; it is finite and in \[0, 1\]",
        ),
        (
            lambda: VariancePreserving(signal=lambda t: (2 * t).clamp(max=1)),
            r"alpha_slope is (-inf|nan) at t = 0\.5.* reaches its last value at t = 1",
        ),
        (lambda: Warped(broken), r"schedule is nan at t = 0\.5; it is finite"),
        (lambda: Interpolant(beta=broken), r"beta is nan at t = 0\.5"),
        (
            lambda: Warped(lambda t: 0.5 + 4 * (t - 0.5).sign() * (t - 0.5).abs() ** 0.5 / 32**0.5),
            r"Warped: \w+_slope is .* at t = 0\.5",
        ),
        (lambda: Warped(lambda t: t[0]), r"one number for each of 1025 times; got \(\)"),
    ],
)
def test_schedules_that_break_inside_are_refused(make: Callable[[], object], text: str) -> None:
    """They passed at both ends and gave NaN later. Oracle: the error's text names t."""
    with pytest.raises(InvalidInputError, match=text):
        make()
