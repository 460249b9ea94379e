"""Runs of all step sizes together: the noise is one path, the sums are Girsanov's."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from precond_gm.diagnostics.step_size.mesh import Mesh
from precond_gm.diagnostics.step_size.runs import RunRows, run_together
from precond_gm.errors import InvalidInputError, NonFiniteError
from precond_gm.solvers import EulerMaruyama, grids, integrate


def decay(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
    return -z * (1 + t.unsqueeze(1))


class Recorder:
    """Dynamics that remember where they were called."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Tensor]] = []

    def __call__(self, t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        self.calls.append((float(t[0]), z.clone()))
        return decay(t, z)


def run(
    model: object,
    counts: list[int],
    *,
    n: int = 64,
    m: int = 64,
    chunk: int = 10_000,
    sigma: float = 1.3,
    label: bool = False,
    process: object = None,
) -> RunRows:
    source = torch.Generator().manual_seed(0)

    def draw(rows: int) -> tuple[Tensor, Tensor | None]:
        z0 = torch.randn(rows, 2, generator=source, dtype=torch.float64)
        return z0, (z0[:, 0] > 0).long() if label else None

    return run_together(
        model,  # type: ignore[arg-type]
        process or model,  # type: ignore[arg-type]
        Mesh.union([grids.uniform(k) for k in counts]),
        draw,
        sigma=sigma,
        num_samples=n,
        num_reference=m,
        chunk=chunk,
        generator=source,
    )


class Reads(TorchDispatchMode):
    """Counts how often the host reads a number of a tensor, which would stall a device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_the_host_does_not_wait_for_a_step() -> None:
    """The host reads as many numbers in 4 steps as in 64. Oracle: the dispatcher's own count."""
    counts = []
    for steps in (4, 64):
        with Reads() as reads:
            run(decay, [steps, steps // 2])
        counts.append(reads.count)
    assert counts[0] == counts[1] <= 3


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=4, unique=True))
def test_noise_is_shared(counts: list[int]) -> None:
    """Each run is what the one loop gives on the sums of one path's increments.

    Oracle: ``solvers.integrate`` with given noise. The increments are read off the run of the mesh
    itself, whose every step is known. Tolerance: rounding, 1e-10.
    """
    mesh = Mesh.union([grids.uniform(k) for k in counts])
    times = torch.tensor(mesh.times, dtype=torch.float64)
    recorder = Recorder()
    source = torch.Generator().manual_seed(0)
    z0 = torch.randn(5, 2, generator=source, dtype=torch.float64)
    union = Mesh.union([times, *(grids.uniform(k) for k in counts)])
    rows = run_together(
        recorder,
        lambda t, z, label=None: torch.zeros_like(z),
        union,
        lambda n: (z0, None),
        sigma=0.7,
        num_samples=5,
        num_reference=5,
        chunk=5,
        generator=source,
    )
    # Every other call is along the exact process; the first rows of a call are the mesh's own run.
    states = [z[:5] for _, z in recorder.calls[::2]] + [rows.final[0]]
    h = times.diff()
    noise = torch.stack(
        [
            (b - a - step * decay(t.expand(5), a)) / 0.7
            for a, b, step, t in zip(states, states[1:], h, times, strict=False)
        ]
    )
    for k, count in enumerate(counts, start=1):
        at = union.at[k]
        coarse = torch.stack([noise[a:b].sum(0) for a, b in itertools.pairwise(at)])
        oracle = integrate(
            decay, EulerMaruyama(), grids.uniform(count), z0, diffusion=0.7, noise=coarse
        )
        assert torch.allclose(rows.final[k], oracle.final, atol=1e-10)


def test_without_drift_all_runs_agree() -> None:
    """With b = 0 every run and the exact process are z0 + sigma W. Oracle: identity."""
    rows = run(lambda t, z, label=None: torch.zeros_like(z), [3, 4, 7])
    for final, truth in zip(rows.final, rows.truth, strict=True):
        assert torch.allclose(final, rows.final[0], atol=1e-12)
        assert torch.allclose(truth, rows.final[0], atol=1e-12)
    assert not rows.discretisation.any()


def test_process_is_of_second_order_without_noise() -> None:
    """For sigma = 0 the scheme is a Runge-Kutta method of order 2. Oracle: the exact solution.

    ``z' = -(1 + t) z`` has ``z(1) = z0 exp(-3/2)``; doubling the steps divides the error by 4,
    within 15 % at these steps.
    """
    errors = []
    for n in (16, 32):
        rows = run(decay, [n], sigma=0.0)
        start = run(lambda t, z, label=None: torch.zeros_like(z), [1], sigma=0.0).truth[0]
        errors.append(float((rows.truth[0] - start * torch.tensor(-1.5).exp()).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)


def test_parts_of_the_path_sum() -> None:
    """A constant error q of the drift costs exactly q^2 per unit time. Oracle: algebra, 1e-9."""

    def wrong(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        return decay(t, z) + 0.3

    rows = run(wrong, [4, 8], process=decay)
    assert torch.allclose(rows.drift, torch.full_like(rows.drift, 2 * 0.3**2), rtol=1e-9)
    cross = rows.total - rows.discretisation - rows.drift
    bound = 2 * (rows.discretisation * rows.drift).sqrt()
    assert bool((cross.abs() <= bound + 1e-12).all())  # Cauchy and Schwarz


def test_evaluations_are_within_the_budget() -> None:
    """Eight halving step sizes and the process cost at most 2.1 finest runs. Oracle: a count."""
    calls = 0

    def counted(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        nonlocal calls
        calls += z.shape[0]
        return -z

    from precond_gm.diagnostics import step_size

    counts = [4 * 2**k for k in range(8)]
    report = step_size(
        counted, steps=counts, num_samples=2048, source=torch.randn(64, 1).double(), t_max=1.0
    )
    spent = calls / (2048 * max(counts))
    assert spent == pytest.approx(report.evaluations, rel=1e-9)
    assert spent <= 2.1


def test_chunks_keep_rows_and_labels_together() -> None:
    """Rows of the exact process come first, with their labels, however the rows are cut."""

    def keep(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        assert label is not None
        assert bool(((z[:, 0] > 0).long() == label).all())
        return torch.zeros_like(z)

    rows = run(keep, [2, 3], n=50, m=20, chunk=7, sigma=0.0, label=True)
    assert rows.label is not None
    assert bool(((rows.final[0][:, 0] > 0).long() == rows.label).all())
    assert torch.equal(rows.truth[1], rows.final[1][:20])
    assert rows.control.shape == (50, 2)
    assert rows.discretisation.shape == (20, 2)


def test_non_finite_dynamics_are_named() -> None:
    """The message names the time and the share of rows that went wrong."""

    def broken(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.where((t[:, None] >= 0.5) & (z > 1e-9), torch.nan, 0 * z)

    with pytest.raises(NonFiniteError, match=r"t = 0\.5: \d+ of 64 rows \(\d+%\)"):
        run(broken, [4, 8])


def test_wrong_shape_is_named() -> None:
    """Dynamics of another shape are refused at the first call."""
    with pytest.raises(InvalidInputError, match="one value per coordinate"):
        run(lambda t, z, label=None: z[:, :1], [4])
