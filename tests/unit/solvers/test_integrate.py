"""The loop: counting, trajectories, given noise, refusals."""

from __future__ import annotations

import math

import pytest
import torch

from precond_gm.errors import (
    IncompatiblePartsError,
    InvalidInputError,
    InvalidTypeError,
    NonFiniteError,
)
from precond_gm.solvers import Euler, EulerMaruyama, Heun, check_accepts, integrate
from precond_gm.solvers.grids import uniform
from precond_gm.values import TargetKind


def decay(t, z, label=None):
    return -z


def test_euler_is_the_product_formula() -> None:
    """Decay by Euler is (1 - h)^n. Oracle: the product. Tolerance: rounding of n products."""
    z0 = torch.ones(3, 2, dtype=torch.float64)
    run = integrate(decay, Euler(), uniform(50), z0, trajectory=True)
    assert torch.allclose(run.final, z0 * (1 - 1 / 50) ** 50, rtol=1e-13)
    assert run.states is not None
    assert run.states.shape == (51, 3, 2)
    assert torch.equal(run.states[0], z0)
    assert torch.equal(run.states[-1], run.final)
    assert run.num_evals == 50


def test_given_noise_equals_drawn_noise() -> None:
    """The increments that the loop draws are sqrt(h) N(0, 1) in order. Oracle: the same draws."""
    times = torch.tensor([0.0, 0.1, 0.4, 1.0], dtype=torch.float64)
    z0 = torch.zeros(5, 2, dtype=torch.float64)
    drawn = integrate(
        decay, EulerMaruyama(), times, z0, diffusion=1.5, generator=torch.Generator().manual_seed(3)
    )
    source = torch.Generator().manual_seed(3)
    noise = torch.stack(
        [
            math.sqrt(h) * torch.randn(5, 2, generator=source, dtype=torch.float64)
            for h in times.diff().tolist()
        ]
    )
    given = integrate(decay, EulerMaruyama(), times, z0, diffusion=1.5, noise=noise)
    assert torch.equal(drawn.final, given.final)


def test_last_step_euler_avoids_the_end() -> None:
    """With last_step="euler" nothing is evaluated at t = 1. Oracle: the recorded times."""
    seen: list[float] = []

    def recorded(t, z, label=None):
        seen.append(float(t[0]))
        return -z

    run = integrate(recorded, Heun(), uniform(4), torch.ones(1, 1), last_step="euler")
    assert max(seen) == 0.75
    assert run.num_evals == 7


def test_ode_solver_refuses_noise() -> None:
    """An ODE solver on an SDE would drop the noise. Oracle: the error's text."""
    with pytest.raises(IncompatiblePartsError, match="leave the noise out"):
        integrate(decay, Heun(), uniform(4), torch.ones(1, 1), diffusion=1.0)


def test_drift_solver_without_noise_is_its_ode_limit() -> None:
    """Euler-Maruyama with sigma = 0 is Euler. Oracle: Euler."""
    z0 = torch.ones(2, 2)
    a = integrate(decay, EulerMaruyama(), uniform(7), z0).final
    assert torch.equal(a, integrate(decay, Euler(), uniform(7), z0).final)


def test_check_accepts_says_what_to_use() -> None:
    """The refusal of flow.sample. Oracle: the text of style.md."""
    path = "BrownianBridge(sigma=1.414, t_max=0.999)"
    check_accepts(EulerMaruyama(), TargetKind.DRIFT, path)
    with pytest.raises(IncompatiblePartsError) as error:
        check_accepts(Heun(), TargetKind.DRIFT, path)
    assert str(error.value) == (
        "the path's target is a DRIFT but the solver 'heun' accepts VELOCITY.\n"
        "  path:   BrownianBridge(sigma=1.414, t_max=0.999)\n"
        "  solver: Heun()\n"
        "Use solver EulerMaruyama(), or path LinearPath() if an ODE is wanted."
    )
    with pytest.raises(IncompatiblePartsError, match="'euler-maruyama' accepts DRIFT"):
        check_accepts(EulerMaruyama(), TargetKind.VELOCITY, "LinearPath()")


@pytest.mark.parametrize(
    ("times", "text"),
    [
        (torch.tensor([0.0, 0.5, 0.4]), r"times\[1\] = 0.5 and times\[2\] = 0.4"),
        (torch.tensor([0.0, float("nan"), 0.4]), "has to increase"),
        (torch.tensor([0.0, 1.5]), r"lies in \[0, 1\]"),
        (torch.tensor([-0.1, 0.5]), r"lies in \[0, 1\]"),
        (torch.tensor([0.0]), "n >= 1 steps"),
        (torch.zeros(2, 2), "n >= 1 steps"),
    ],
)
def test_bad_grids(times: torch.Tensor, text: str) -> None:
    """A grid that is not increasing in [0, 1] is refused. Oracle: the error's text."""
    with pytest.raises(InvalidInputError, match=text):
        integrate(decay, Euler(), times, torch.ones(1, 1))


def test_bad_shapes() -> None:
    """Noise and dynamics of another shape would broadcast silently. Oracle: the error's text."""
    z0 = torch.zeros(3, 2)
    with pytest.raises(InvalidInputError, match="one Brownian increment per step"):
        integrate(decay, EulerMaruyama(), uniform(4), z0, diffusion=1.0, noise=torch.zeros(3, 3, 2))
    with pytest.raises(InvalidInputError, match="would not be used"):
        integrate(decay, EulerMaruyama(), uniform(4), z0, noise=torch.zeros(4, 3, 2))
    with pytest.raises(InvalidInputError, match="one value per coordinate"):
        integrate(lambda t, z, label=None: z[:, :1], Euler(), uniform(4), z0)
    with pytest.raises(InvalidInputError, match="0 or more"):
        integrate(decay, EulerMaruyama(), uniform(4), z0, diffusion=-1.0)


def test_non_finite_dynamics_are_named() -> None:
    """NaN names the step and the share of rows. Oracle: the planted fault."""

    def faulty(t, z, label=None):
        return torch.where((t[:, None] > 0.45) & (z > 0), float("nan"), 0.0) * z

    z0 = torch.tensor([[1.0], [-1.0], [2.0], [-3.0]])
    text = r"between t = 0\.5 and 0\.6 \(steps 6 to 6 of 10\): 2 of 4 rows \(50%"
    with pytest.raises(NonFiniteError, match=text):
        integrate(faulty, Euler(), uniform(10), z0)
    with pytest.raises(
        NonFiniteError, match=r"between t = 0\.42 and 0\.49 \(steps 43 to 49 of 100"
    ):
        integrate(faulty, Euler(), uniform(100), z0)
    with pytest.raises(NonFiniteError, match="z0 holds NaN"):
        integrate(decay, Euler(), uniform(10), z0 / 0 * 0)
    assert integrate(faulty, Euler(), uniform(10), z0, check_finite=False).final.isnan().any()


def test_large_finite_values_pass() -> None:
    """A checksum that overflows is not a fault. Oracle: finite rows."""
    z0 = torch.full((10, 1), 3e38)
    run = integrate(lambda t, z, label=None: 0 * z, Euler(), uniform(2), z0)
    assert torch.isfinite(run.final).all()


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """The bar is on stderr, so stdout stays machine readable. Oracle: captured streams."""
    integrate(decay, Euler(), uniform(3), torch.ones(1, 1), progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "3/3" in err


def test_names_classes_and_integer_rows_are_refused() -> None:
    """They failed inside the loop, or were cut to integers. Oracle: the text says what to write."""
    times, z0 = uniform(2), torch.ones(2, 1)
    for wrong in ("heun", Heun):
        with pytest.raises(InvalidTypeError, match=r"REGISTRY\.resolve\('heun'\)"):
            integrate(lambda t, z, label=None: -z, wrong, times, z0)
    with pytest.raises(InvalidTypeError, match=r"got torch\.int64\. Write z0\.float\(\)"):
        integrate(lambda t, z, label=None: -z, Heun(), times, z0.long())
