"""Every cell prediction x loss space x path: it works, or wrap refuses it and says what is missing.

The oracle of what works is a Gaussian: for z0 and eps of N(0, 1) and z1 of N(0, 0.09), all
independent, the posterior mean of any target is ``Cov(target, z_t) / Var(z_t) z_t``, with the
coefficients of both read off ``path.sample``, not off the rows that conversions are made from.
"""

from __future__ import annotations

import itertools
import math
import re
import warnings

import pytest
import torch
from torch import Tensor

import precond_gm as pg
from precond_gm.errors import IncompatiblePartsError, ObjectiveWarning
from precond_gm.objectives import Objective, compose, implied_weight
from precond_gm.paths import REGISTRY, AbstractPath, BrownianBridge, Interpolant, LinearPath
from precond_gm.values import Pairing, PathSample, TargetKind

CELLS = list(itertools.product(TargetKind, TargetKind))
TIMES = torch.linspace(0.05, 0.97, 24, dtype=torch.float64)
VARIANCE = torch.tensor([1.0, 0.09, 1.0], dtype=torch.float64)  # of z0, z1 and eps
MISSING = "is not defined|does not follow|is not known on this path"


def composed(path: AbstractPath, have: TargetKind, want: TargetKind, **more: float) -> Objective:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ObjectiveWarning)
        return compose(path, prediction=have, loss_space=want, gaussian_source=True, **more)


def read_off(path: AbstractPath, kind: TargetKind) -> tuple[Tensor, Tensor]:
    """Return the coefficients of z_t and of a target in (z0, z1, eps), shape 3 times."""
    zero, one = torch.zeros(len(TIMES), 1).double(), torch.ones(len(TIMES), 1).double()
    points, targets = [], []
    for ends in ((zero, zero), (one, zero), (zero, one)):
        g = torch.Generator().manual_seed(0)
        sample = path.sample(Pairing(*ends), TIMES, target=kind, generator=g)
        points.append(sample.z_t[:, 0])
        targets.append(sample.target[:, 0])
    noise = torch.ones_like(TIMES)
    if path.has_noise:
        g = torch.Generator().manual_seed(0)
        noise = torch.randn(len(TIMES), 1, dtype=torch.float64, generator=g)[:, 0]
    rows = []
    for found in (points, targets):
        base = found[0]
        rows.append(torch.stack([found[1] - base, found[2] - base, base / noise]))
    return rows[0], rows[1]


def posterior_mean(path: AbstractPath, kind: TargetKind, z: Tensor) -> Tensor:
    """Return ``E[target | z_t = z]`` of the Gaussian, shape ``times 1``."""
    point, target = read_off(path, kind)
    gain = (VARIANCE[:, None] * point * target).sum(0) / (VARIANCE[:, None] * point**2).sum(0)
    return gain[:, None] * z


@pytest.mark.parametrize("clamp", [0.0, 0.05])
@pytest.mark.parametrize("name", REGISTRY.names())
def test_posterior_means_have_zero_loss_in_every_cell(name: str, clamp: float) -> None:
    """The loss is that of the loss space's own target, so its minimiser is the posterior mean.

    Oracle: the Gaussian's posterior means. The loss is quadratic in the target, so the mean of the
    target may stand for it in the gradient. Tolerance: 1e-9 of the size of the target, rounding of
    quotients that reach 1e3.
    """
    path = REGISTRY.create(name)
    z = torch.randn(len(TIMES), 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    works, said = 0, []
    for have, want in CELLS:
        try:
            objective = composed(path, have, want, clamp=clamp)
        except IncompatiblePartsError as error:
            said.append(str(error))
            continue
        works += 1
        c = path.coefficients(TIMES)
        target = posterior_mean(path, want, z)
        sample = PathSample(TIMES, z, target, want, None, c)
        per_row = objective(sample, posterior_mean(path, have, z)).per_row
        assert bool((per_row <= 1e-18 * (1 + target[:, 0].square())).all()), (have, want)
    assert works >= 16  # velocity, x1, x0 and score, at least
    assert all(re.search(MISSING, text) for text in said)


@pytest.mark.parametrize("name", REGISTRY.names())
@pytest.mark.filterwarnings("ignore::precond_gm.errors.ObjectiveWarning")
def test_every_cell_trains_and_samples_or_is_refused_by_wrap(name: str) -> None:
    """Oracle: loss, gradient and samples are finite numbers; a refusal says what is missing."""
    x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    said = []
    for have, want in CELLS:
        torch.manual_seed(0)
        net = pg.models.MLP(2, width=8, depth=1)
        settings = {"path": name, "prediction": have, "loss_space": want}
        try:
            flow = pg.wrap(net, event_shape=2, **settings)
        except IncompatiblePartsError as error:
            said.append(str(error))
            continue
        g = torch.Generator().manual_seed(1)
        flow.loss(x, generator=g).total.backward()
        assert all(bool(torch.isfinite(p.grad).all()) for p in net.parameters()), (have, want)
        assert bool(torch.isfinite(flow.sample(4, steps=3, generator=g).x).all()), (have, want)
    assert all(re.search(MISSING, text) for text in said)


@pytest.mark.parametrize("path", [LinearPath(), BrownianBridge(), Interpolant()])
def test_a_dependent_coupling_loses_the_score(path: AbstractPath) -> None:
    """Oracle: without a normal source of its own, z0 has no known density."""
    if not path.has_noise:
        with pytest.raises(IncompatiblePartsError, match="is not known on this path unless"):
            compose(path, prediction="x1", loss_space="score")
        return
    with pytest.raises(IncompatiblePartsError, match="does not follow"):
        compose(path, prediction="x0", loss_space="score")
    with pytest.warns(ObjectiveWarning, match="can be trained but not sampled by itself"):
        compose(path, prediction="noise")


def test_score_of_a_flow_trained_on_its_own_space() -> None:
    """Train nothing: the exact score of N(0, 1) to N(0, 0.09) samples the right variance.

    Oracle: the closed form -z / ((1-t)^2 + 0.09 t^2). Tolerance: four deviations of 20,000 rows
    and the bias of 50 Heun steps, of which the first looks at t = 0.01.
    """

    class Exact(torch.nn.Module):
        def forward(self, t: Tensor, z: Tensor) -> Tensor:
            return -z / ((1 - t) ** 2 + 0.09 * t**2)[:, None]

    for have, field in (("score", Exact()), ("x0", Exact())):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ObjectiveWarning)
            flow = pg.wrap(field, prediction=have, event_shape=1)
        if have == "x0":  # E[z0 | z] = -(1 - t) score
            exact = field.forward
            field.forward = lambda t, z, f=exact: -(1 - t)[:, None] * f(t, z)  # type: ignore
        x = flow.sample(20_000, steps=50, generator=torch.Generator().manual_seed(0)).x
        assert float(x.var()) == pytest.approx(0.09, rel=4 * math.sqrt(2 / 20_000) + 0.01)


@pytest.mark.parametrize("want", [TargetKind.VELOCITY, TargetKind.X0, TargetKind.SCORE])
def test_clamp_bounds_the_curvature(want: TargetKind) -> None:
    """Oracle: the Hessian is twice the implied weight, at most 2 / clamp^2. Tolerance: rounding."""
    path = LinearPath()
    objective = composed(path, TargetKind.X1, want, clamp=0.05)
    g = torch.Generator().manual_seed(3)
    z0, z1, guess = torch.randn(3, len(TIMES), 1, generator=g, dtype=torch.float64)
    sample = path.sample(Pairing(z0, z1), TIMES, target=want)
    hessian = torch.autograd.functional.hessian(lambda o: objective(sample, o).per_row.sum(), guess)
    curvature = hessian.reshape(len(TIMES), len(TIMES)).diagonal()
    implied = implied_weight(path, TargetKind.X1, want, True, clamp=0.05)
    torch.testing.assert_close(curvature, 2 * implied(TIMES), rtol=1e-10, atol=0)
    assert float(curvature.max()) == pytest.approx(800)


def test_a_clamp_makes_a_singular_cell_regular() -> None:
    """Oracle: JiT's recipe, x1-prediction, velocity-loss, 1 - t >= 0.05, passes when strict."""
    flow = pg.wrap(
        pg.models.MLP(2, width=8),
        prediction="x1",
        loss_space="velocity",
        clamp=0.05,
        event_shape=2,
        strict=True,
    )
    report = pg.diagnostics.alignment("linear", "x1", "velocity", clamp=0.05)
    assert (report.supremum, report.is_bounded) == (pytest.approx(400), True)
    assert report.to_dict()["clamp"] == flow.objective.clamp == 0.05
    with pytest.raises(ValueError, match=r"clamp is a number in \[0, 1\]"):
        compose(LinearPath(), clamp=-0.1)


def test_clamp_is_saved_with_the_flow(tmp_path) -> None:
    """Oracle: what was wrapped is what is loaded."""
    flow = pg.wrap(
        pg.models.MLP(2, width=8), prediction="x1", loss_space="velocity", clamp=0.1, event_shape=2
    )
    flow.fit_preconditioner(torch.randn(16, 2))
    pg.save(flow, tmp_path / "flow.pt")
    assert pg.load(tmp_path / "flow.pt").objective.clamp == 0.1
