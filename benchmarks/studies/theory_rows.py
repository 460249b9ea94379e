"""Every number of the theory's section on sampling error, with the call that computes it.

Each row holds the number as it is printed, to its digits. ``theory_numbers.py`` prints the table;
the unit tests check every row.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import torch
from first_steps import first_theorem3, first_uniform, rounded_up
from torch import Tensor

from precond_gm.closed_form import DriftError, GaussianBridge
from precond_gm.solvers import grids


@dataclass(frozen=True)
class Row:
    """One number: what it is, how it is printed, how the code finds it."""

    name: str
    expected: str
    compute: Callable[[], Tensor | float]

    def agrees(self, value: float) -> bool:
        """Whether ``value`` rounds to the printed number: within half a unit of its last digit."""
        unit = float(Decimal(1).scaleb(int(Decimal(self.expected).as_tuple().exponent)))
        return abs(value - float(self.expected)) <= 0.5 * unit * (1 + 1e-9)


def rows() -> list[Row]:
    """Return all rows, in the order of the text."""
    return [
        *limits(),
        *drift_errors(),
        *slopes(),
        *marginal_kls(),
        *point_mass(),
        *correlated(),
        *best_grids(),
        *endpoint(),
        *loss_floors(),
        *conditioning(),
    ]


def gaussian(variance: float = 1.0, rho: float = 0.0, dim: int = 1) -> GaussianBridge:
    """Return DFM from N(0, I) to N(0, variance I), each coordinate correlated by rho."""
    ones = torch.ones(dim, dtype=torch.float64)
    return GaussianBridge(0.0, ones, 0.0, variance * ones, cross=rho * ones)


def limits() -> list[Row]:
    """Constants as h goes to 0, taken at 4096 steps; the digits printed allow for that."""
    fine, h, q = grids.uniform(4096), 1 / 4096, 0.01
    unit, three = gaussian(), gaussian(dim=3)
    e2 = math.exp(-2)
    exact = 0.5 * (0.125 - 1 + math.exp(-0.125)) / 0.125
    shifted = DriftError(shift=q)
    return [
        Row("path KL, N=8", f"{exact:.12f}", lambda: unit.path_kl(grids.uniform(8))),
        Row("path KL / (d h / 4), d=3", "1.000", lambda: three.path_kl(fine) / (3 * h / 4)),
        Row(
            "marginal KL / (d h^2 (1-e^-2)^2 / 16), d=3",
            "1.000",
            lambda: three.marginal_kl(fine) / (3 * h**2 * (1 - e2) ** 2 / 16),
        ),
        Row(
            "W2 / (sqrt(d) h (1-e^-2) / 4), d=3",
            "1.000",
            lambda: three.w2(fine) / (math.sqrt(3) * h * (1 - e2) / 4),
        ),
        Row(
            "marginal KL / (q^2 (1-e^-1)^2 / 2), drift error q",
            "1.000",
            lambda: unit.marginal_kl(fine, error=shifted) / (q**2 * (1 - math.exp(-1)) ** 2 / 2),
        ),
        Row("slope of path KL in h", "1.000", lambda: _slope(unit.path_kl, 2048)),
        Row("slope of marginal KL in h", "2.000", lambda: _slope(unit.marginal_kl, 2048)),
        Row("slope of W2 in h", "1.000", lambda: _slope(unit.w2, 2048)),
    ]


def drift_errors() -> list[Row]:
    """Drift error and discretisation add up only to a cross term."""
    unit = gaussian()
    error = DriftError(matrix=-0.1)  # b_theta = 1.1 b, since b = -x

    def drift_part() -> Tensor:  # what the error adds when there is no discretisation
        fine = grids.uniform(4096)
        return unit.path_kl(fine, error=error) - unit.path_kl(fine)

    return [
        Row(
            "path KL, b_theta = 1.1 b, N=8",
            "0.03549",
            lambda: unit.path_kl(grids.uniform(8), error=error),
        ),
        Row("its drift part", "0.0025", drift_part),
        Row("its discretisation part", "0.02999", lambda: unit.path_kl(grids.uniform(8))),
    ]


def slopes() -> list[Row]:
    """Slopes of the path KL between 16 and 32 steps."""
    printed = {0.05: "0.745", 0.25: "0.935", 1.0: "0.985", 4.0: "1.256"}
    return [
        Row(
            f"slope of path KL, N=16 to 32, variance {variance:g}",
            slope,
            lambda v=variance: _slope(gaussian(v).path_kl, 16),
        )
        for variance, slope in printed.items()
    ]


def marginal_kls() -> list[Row]:
    """Marginal KL of unit Gaussians."""
    unit = gaussian()
    printed = {8: "8.007e-4", 16: "1.911e-4", 32: "4.670e-5"}
    printed |= {64: "1.154e-5", 128: "2.869e-6", 256: "7.151e-7"}
    found = [
        Row(f"marginal KL, N={n}", kl, lambda n=n: unit.marginal_kl(grids.uniform(n)))
        for n, kl in printed.items()
    ]
    error = DriftError(shift=0.08)
    return [
        *found,
        Row(
            "marginal KL, N=256, drift error 0.08",
            "1.280e-3",
            lambda: unit.marginal_kl(grids.uniform(256), error=error),
        ),
    ]


def point_mass() -> list[Row]:
    """First number of steps whose KL is small enough, by grid."""
    printed = {
        (1e-3, 8): ("58", "31", None),
        (1e-3, 32): ("249", "54", None),
        (1e-3, 128): ("1007", "77", None),
        (1e-4, 8): ("184", "95", "96"),
        (1e-4, 32): ("787", "165", "166"),
        (1e-4, 128): ("3187", "235", "236"),
    }
    found = []
    for (level, inverse), (even, nearest, up) in printed.items():
        name, delta = f"point mass, KL <= {level:g}, delta 1/{inverse}", 1 / inverse
        found.append(Row(f"{name}, uniform", even, lambda e=level, d=delta: first_uniform(e, d)))
        found.append(
            Row(f"{name}, theorem 3", nearest, lambda e=level, d=delta: first_theorem3(e, d))
        )
        if up is not None:
            found.append(
                Row(
                    f"{name}, j rounded up",
                    up,
                    lambda e=level, d=delta: first_theorem3(e, d, rounded_up),
                )
            )
    return found


def correlated() -> list[Row]:
    """W2 of correlated unit Gaussians."""
    printed = {(0.0, 8): "0.02898", (0.0, 16): "0.01399"}
    printed |= {(0.75, 8): "0.07447", (0.75, 16): "0.03664"}
    return [
        Row(
            f"W2, correlation {rho:g}, N={n}",
            w2,
            lambda n=n, rho=rho: gaussian(rho=rho).w2(grids.uniform(n)),
        )
        for (rho, n), w2 in printed.items()
    ]


def best_grids() -> list[Row]:
    """Uniform against the grid of least path KL, N = 256."""
    printed = {
        (0.05, "path_kl"): ("3.67e-2", "1.35e-2"),
        (0.05, "marginal_kl"): ("1.48e-3", "5.0e-5"),
        (0.001, "path_kl"): ("0.835", "5.59e-2"),
        (0.001, "marginal_kl"): ("0.602", "2.2e-4"),
    }

    def measured(variance: float, name: str, optimal: bool) -> Tensor:
        bridge = gaussian(variance)
        times = grids.uniform(256)
        if optimal:
            times = grids.path_kl_optimal(256, roughness=bridge.roughness)
        return getattr(bridge, name)(times)

    found = [
        Row(
            f"{name}, variance {variance:g}, N=256, {'optimal' if optimal else 'uniform'}",
            value,
            lambda v=variance, m=name, o=optimal: measured(v, m, o),
        )
        for (variance, name), values in printed.items()
        for optimal, value in zip((False, True), values, strict=True)
    ]
    rough = gaussian(0.001).roughness
    return [
        *found,
        Row("leading order, variance 0.001, uniform", "1.95", lambda: integral(rough) / 1024),
        Row(
            "leading order, variance 0.001, optimal",
            "5.64e-2",
            lambda: integral(lambda t: rough(t).sqrt()) ** 2 / 1024,
        ),
    ]


def endpoint() -> list[Row]:
    """The endpoint step loses the posterior variance of z1; the correction makes it exact."""
    unit, times = gaussian(), grids.uniform(256)
    target = unit.marginal(1.0)
    return [
        Row("W2, endpoint step, N=256", "1.82e-2", lambda: target.w2(unit.endpoint_law(times))),
        Row("W2, Euler-Maruyama, N=256", "8.46e-4", lambda: unit.w2(times)),
        Row(
            "W2, corrected endpoint step, N=256",
            "0.000000000000",
            lambda: target.w2(unit.endpoint_law(times, corrected=True)),
        ),
    ]


def loss_floors() -> list[Row]:
    """Variance of the regression target given z_t, and what it integrates to."""

    def posterior(variance: float) -> Callable[[Tensor], Tensor]:
        return lambda t: gaussian(variance).posterior_covariance(t)[..., 0, 0]

    def noise(t: Tensor) -> Tensor:
        return posterior(1.0)(t) / (1 - t) ** 2

    def growth() -> float:  # of the unweighted loss, when the cut 1 - t shrinks by a factor e
        return integral(noise, 1 - 1e-6 / math.e) - integral(noise, 1 - 1e-6)

    printed = {0.1: "1.222", 0.5: "3.000", 0.9: "19"}
    found = [
        Row(f"DFM target noise, t={t:g}", value, lambda t=t: noise(torch.tensor(t).double()))
        for t, value in printed.items()
    ]
    found.append(Row("growth of the drift loss per factor e (sigma^2 d)", "2.000", growth))
    found.append(
        Row("floor of the weighted loss, 2d/3", "0.666667", lambda: integral(posterior(1.0)))
    )
    for v in (0.05, 4.0):
        formula = integral(lambda t, v=v: v * (1 - t**2) / (1 - t**2 + v * t**2))
        found.append(
            Row(
                f"floor of the weighted loss, variance {v:g}",
                f"{formula:.9f}",
                lambda v=v: integral(posterior(v)),
            )
        )
    return found


def conditioning() -> list[Row]:
    """The integrals I(lambda) that say what preconditioning does to the number of steps."""
    printed = {4: "0.2092", 1: "1.0", 0.25: "6.690", 0.05: "38.56", 0.01: "198.5", 0.001: "1998.5"}
    return [
        Row(f"I({v:g})", value, lambda v=v: integral(gaussian(v).roughness))
        for v, value in printed.items()
    ]


def integral(function: Callable[[Tensor], Tensor], end: float = 1.0) -> float:
    """Integrate over [0, end] by Gauss-Legendre on pieces that halve towards the end."""
    x, w = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(20))
    halves = 0.5 ** torch.arange(0, 50, dtype=torch.float64)
    edges = [*(end * (1 - halves)).tolist(), end]
    pieces = (
        0.5 * (b - a) * float((w * function(a + 0.5 * (b - a) * (x + 1))).sum())
        for a, b in itertools.pairwise(edges)
    )
    return math.fsum(pieces)


def _slope(error: Callable[[Tensor], Tensor], steps: int) -> float:
    coarse, fine = error(grids.uniform(steps)), error(grids.uniform(2 * steps))
    return math.log2(float(coarse) / float(fine))
