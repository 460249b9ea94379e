"""Intervals of the study cover exact values as often as they say, over repeated studies."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from precond_gm.closed_form import GaussianBridge
from precond_gm.diagnostics import step_size

BRIDGE = GaussianBridge(0.0, 1.0, 0.0, 0.25)


def missed(found: Tensor, error: Tensor, exact: Tensor, quantile: float) -> int:
    return int(((found - exact).abs() > quantile * error).any())


@pytest.mark.slow
def test_exact_bridge() -> None:
    """95 % intervals at one step size, 40 repeats. Oracle: the closed form.

    Two misses are expected of each quantity; 8 or more has probability below 0.001.
    """
    count = dict.fromkeys(("path_kl", "w2", "marginal_kl"), 0)
    for seed in range(40):
        report = step_size(
            BRIDGE, steps=(8,), num_samples=256, generator=torch.Generator().manual_seed(seed)
        )
        for name in count:
            found, error = report.replicates[name], report.standard_errors[name]
            count[name] += missed(found.value, error, report.exact[name], found.quantile)
    assert max(count.values()) < 8, count


@pytest.mark.slow
def test_callable_with_a_control() -> None:
    """The controlled mean on few rows, at a step far above the finest: 60 repeats, 3 expected.

    9 or more has probability below 0.004; the time step of the process adds a bias of 1e-3 there.
    """
    count, exact = 0, BRIDGE.path_kl(torch.linspace(0, 1, 9).double())
    for seed in range(60):
        source = torch.Generator().manual_seed(seed)
        report = step_size(
            lambda t, z, label=None: BRIDGE(t, z),
            steps=(8, 16, 64, 128),
            num_samples=1024,
            source=torch.randn(2048, 1, generator=source).double(),
            t_max=1.0,
            generator=source,
        )
        found = report.replicates["path_kl"]
        count += missed(found.value[0], found.standard_error[0], exact, found.quantile)
    assert count <= 9
