"""A time law and a weight are the same thing to the objective, and differ in variance."""

from __future__ import annotations

import warnings

import pytest
import torch

from precond_gm.errors import IncompatiblePartsError, ObjectiveWarning
from precond_gm.objectives import Objective, as_time_law, as_weight, compose, with_time_law
from precond_gm.objectives.adaptive import AbstractAdaptive
from precond_gm.objectives.time_laws import REGISTRY, Adaptive, Beta, Shifted, Uniform
from precond_gm.paths import LinearPath
from precond_gm.values import Pairing

T = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
C = LinearPath().coefficients(T)


def emphasis(objective: Objective) -> torch.Tensor:
    """Weight times density times importance, written out: all that the objective sees."""
    law = objective.time_law
    importance = law.importance(T)
    product = objective.weight(T, C) * law.log_density(T).exp()
    return product if importance is None else product * importance


def observed(law: object) -> object:
    """Let an adaptive law learn from losses that are ten times larger in the last quarter."""
    if isinstance(law, AbstractAdaptive):
        t = torch.linspace(0.001, 0.999, 512)
        loss = 1 + 9.0 * (t > 0.75)
        law.observe(t, loss, loss)
    return law


def quietly(**settings: object) -> Objective:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ObjectiveWarning)
        return compose(LinearPath(), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [n for n in REGISTRY.names() if n != "grid"])
def test_weight_times_density_is_kept(name: str) -> None:
    """Oracle: the product itself, at 99 times, of a law that has learned. Tolerance: rounding.

    The statistics of the adaptive law are float32, as its density and importance are.
    """
    law = observed(REGISTRY.create(name))
    objective = quietly(time_law=law, weight="inverse-remaining", prediction="x1")
    for other in (with_time_law(objective, Shifted()), as_weight(objective)):
        torch.testing.assert_close(emphasis(other), emphasis(objective))
    assert as_weight(objective).time_law == Uniform()


@pytest.mark.parametrize("keep", [True, False])
def test_an_adaptive_law_that_learned_is_exchanged_with_its_importance(keep: bool) -> None:
    """Oracle: with importance the emphasis is 1 at all times, else the density itself.

    Tolerance: 1e-6, float32 statistics; for the table 1e-3, its cells next to the steps apart.
    """
    law = observed(Adaptive(bins=4, floor=0.01, keep_objective=keep))
    objective = quietly(time_law=law)
    exact = torch.ones_like(T) if keep else law.density().double()[(T * 4).long()]
    assert float(law.density().max() / law.density().min()) > 5  # it did learn
    torch.testing.assert_close(emphasis(objective), exact, rtol=1e-6, atol=0)
    for other in (
        as_weight(objective),
        with_time_law(objective, Beta()),
        with_time_law(quietly(), law),
        as_time_law(objective, LinearPath()),
    ):
        want = torch.ones_like(T) if other.time_law is law else exact
        torch.testing.assert_close(emphasis(other), want, rtol=1e-3, atol=0)


def test_the_whole_emphasis_in_the_law() -> None:
    """Oracle: a constant weight, the same product. Tolerance: the table, 1e-6 of the mass."""
    objective = quietly(weight="inverse-remaining", prediction="x1")
    law = as_time_law(objective, LinearPath())
    weight = law.weight(T, C)
    assert float(weight.max() - weight.min()) == 0
    torch.testing.assert_close(emphasis(law), emphasis(objective), rtol=1e-5, atol=0)
    assert float(weight[0]) == pytest.approx(1 / 0.05 - 1 / 1.05, rel=1e-5)  # its integral


def test_estimates_agree_and_their_variance_differs() -> None:
    """Oracle: one expected loss under both. Tolerance: 5 standard errors of 40,000 rows.

    With w = 1/(1.05-t)^2 the weighted estimate is dominated by few rows; drawing them more often
    instead must lower the variance.
    """
    path = LinearPath()
    weighted = quietly(weight="inverse-remaining", prediction="x1")
    drawn = as_time_law(weighted, path)
    g = torch.Generator().manual_seed(0)
    means, variances = [], []
    for objective in (weighted, drawn):
        t = objective.draw_times(40_000, dtype=torch.float64, generator=g)
        z0, z1 = torch.randn(2, 40_000, 2, generator=g, dtype=torch.float64)
        terms = objective(path.sample(Pairing(z0, z1), t, target=objective.loss_space), 0 * z0)
        rows = terms.weight * terms.per_row
        means.append(float(rows.mean()))
        variances.append(float(rows.var()))
    error = (sum(variances) / 40_000) ** 0.5
    assert abs(means[0] - means[1]) < 5 * error
    assert variances[1] < variances[0] / 2


def test_what_cannot_be_exchanged_is_refused() -> None:
    """Oracle: a penalty is no product; 1/(1-t)^2 has no finite integral."""
    with pytest.raises(IncompatiblePartsError, match="penalty"):
        with_time_law(compose(LinearPath(), weight="learned"), Beta())
    unbounded = quietly(prediction="x1", weight=("inverse-remaining", {"eps": 0.0}))
    with pytest.raises(IncompatiblePartsError, match="infinite integral"):
        as_time_law(unbounded, LinearPath())
