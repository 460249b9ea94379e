"""Contract check of a solver: run it on your own class."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from precond_gm.closed_form import GaussianBridge
from precond_gm.errors import IncompatiblePartsError
from precond_gm.numerics.gaussian import Gaussian
from precond_gm.solvers import REGISTRY, AbstractSolver, grids, integrate
from precond_gm.values import Dynamics, TargetKind

__all__ = ["check_solver"]

_DYNAMICS = {TargetKind.VELOCITY, TargetKind.DRIFT}


def check_solver(solver: str | AbstractSolver) -> None:
    """Check that a solver keeps its contract.

    Constant dynamics are integrated exactly; on an exact Gaussian bridge the law of the scheme
    converges to the target's; rows do not mix; shape and dtype are kept; labels reach the dynamics;
    the rows given are not written to; the same increments give the same result; the declared number
    of evaluations is the counted one; a solver without noise is refused where there is noise.

    Args:
        solver: Name in the registry, or an instance.

    Raises:
        AssertionError: With what is wrong.

    Example:
        >>> check_solver("heun")
    """
    part = REGISTRY.resolve(solver)
    _check_declaration(part)
    for dtype in (torch.float32, torch.float64):
        _check_rows(part, dtype)
    _check_constant(part)
    _check_noise(part)
    _check_convergence(part)


def _expect(truth: bool, part: AbstractSolver, message: str) -> None:
    if not truth:
        raise AssertionError(f"{part!r}: {message}")


def _sigma(part: AbstractSolver) -> float:
    return math.sqrt(2) if TargetKind.DRIFT in part.accepts else 0.0


def _check_declaration(part: AbstractSolver) -> None:
    _expect(
        bool(part.accepts) and part.accepts <= _DYNAMICS,
        part,
        f"accepts is {part.accepts!r}; it is a frozenset of TargetKind.VELOCITY and "
        f"TargetKind.DRIFT, and not empty.",
    )


def _check_rows(part: AbstractSolver, dtype: torch.dtype) -> None:
    """Shapes, dtypes, labels, independence of rows, untouched input, counted evaluations."""
    draw = torch.Generator().manual_seed(0)
    z0 = torch.randn(6, 2, 3, generator=draw).to(dtype)
    label = torch.arange(6)
    noise = 0.3 * torch.randn(4, 6, 2, 3, generator=draw).to(dtype)
    seen: list[bool] = []

    def pull(t: Tensor, z: Tensor, label: Tensor | None = None) -> Tensor:
        seen.append(label is not None and t.shape == z.shape[:1] and t.dtype == z.dtype)
        rate = torch.zeros(1) if label is None else 0.1 * label
        return -z * rate.to(z).reshape(-1, 1, 1) + t.reshape(-1, 1, 1)

    def run(rows: Tensor) -> Tensor:
        given = noise[:, rows] if _sigma(part) else None
        times, sigma = grids.uniform(4, 0.9), _sigma(part)
        start = z0[rows]
        found = integrate(pull, part, times, start, label=label[rows], diffusion=sigma, noise=given)
        _expect(torch.equal(start, z0[rows]), part, "writes to the rows that it is given.")
        if part.evals_per_step is not None:
            _expect(
                found.num_evals == 4 * part.evals_per_step,
                part,
                f"declares {part.evals_per_step} evaluations per step, and used "
                f"{found.num_evals} in 4 steps.",
            )
        return found.final

    whole = run(label)
    tolerance = 1e-3 if part.evals_per_step is None else 20 * torch.finfo(dtype).eps
    _expect(whole.shape == z0.shape and whole.dtype == dtype, part, "changes the shape or dtype.")
    _expect(all(seen), part, "calls the dynamics without label, or with t of another form.")
    _expect(torch.equal(whole, run(label)), part, "gives another result for the same increments.")
    mixed = (whole.flip(0) - run(label.flip(0))).abs().max() / whole.abs().max()
    _expect(float(mixed) < tolerance, part, "mixes rows: their order changes the result.")


def _check_constant(part: AbstractSolver) -> None:
    """A constant slope is integrated exactly by every consistent scheme."""
    z0 = torch.zeros(2, 1, dtype=torch.float64)
    run = integrate(lambda t, z, label=None: z * 0 + 3.0, part, grids.uniform(5), z0)
    gap = float((run.final - 3.0).abs().max())
    _expect(gap < 1e-8, part, f"is inconsistent: slope 3 over [0, 1] gives 3 + {gap:.2g}.")


def _check_noise(part: AbstractSolver) -> None:
    z0 = torch.zeros(2, 1, dtype=torch.float64)
    dynamics = GaussianBridge(0.0, 1.0, 0.0, 1.0)
    if TargetKind.DRIFT not in part.accepts:
        try:
            integrate(dynamics, part, grids.uniform(4), z0, diffusion=1.0)
        except IncompatiblePartsError:
            return
        raise AssertionError(f"{part!r}: an ODE solver ran on an SDE without its noise.")
    noise = torch.zeros(4, 2, 1, dtype=torch.float64)
    noise[0, 1] = 0.5
    run = integrate(dynamics, part, grids.uniform(4, 0.9), z0, diffusion=1.0, noise=noise)
    _expect(bool(run.final[0] != run.final[1]), part, "accepts DRIFT but does not use the noise.")


def _check_convergence(part: AbstractSolver) -> None:
    """On a correlated Gaussian bridge the law of the scheme tends to the exact one.

    The dynamics is affine, so the scheme is an affine map of rows and increments: pushing the basis
    through it gives its law exactly, with no sampling error.
    """
    for kind in part.accepts:
        sigma = math.sqrt(2) if kind is TargetKind.DRIFT else 0.0
        bridge = GaussianBridge(0.5, 1.0, -1.0, 0.3, cross=0.2, sigma=sigma)
        target = bridge.marginal(0.9)
        errors = [float(target.w2(scheme_law(part, bridge, steps))) for steps in (16, 64)]
        settled = errors[1] < 1e-4 or errors[1] < 0.5 * errors[0]
        _expect(
            settled and errors[1] < 0.05,
            part,
            f"does not converge for {kind.name}: W2 to the exact law is {errors[0]:.3g} with 16 "
            f"steps and {errors[1]:.3g} with 64.",
        )


def scheme_law(part: AbstractSolver, bridge: GaussianBridge, steps: int) -> Gaussian:
    """Return the exact law of a scheme at t = 0.9 on a one-dimensional Gaussian bridge."""
    times = grids.uniform(steps, 0.9)
    sigma, start = bridge.sigma, bridge.marginal(0.0)
    rows = 2 + (steps if sigma else 0)  # zero, the unit row, then one unit increment each
    z0 = torch.zeros(rows, 1, dtype=torch.float64)
    z0[1] = 1.0
    noise = None
    if sigma:
        noise = torch.zeros(steps, rows, 1, dtype=torch.float64)
        noise[torch.arange(steps), torch.arange(2, rows), 0] = times.diff().sqrt()
    dynamics: Dynamics = bridge
    end = integrate(dynamics, part, times, z0, diffusion=sigma, noise=noise).final
    response = end[1:] - end[0]
    mean = end[0] + response[0] * start.mean
    variance = response[0] ** 2 * start.covariance[0, 0] + response[1:].square().sum()
    return Gaussian(mean, variance.reshape(1, 1))
