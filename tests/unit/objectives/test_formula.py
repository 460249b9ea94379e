"""The printed implied weight, read as arithmetic and evaluated against the weight itself."""

from __future__ import annotations

import math
import re
from itertools import product

import pytest
import torch
from torch import Tensor

from precond_gm.errors import IncompatiblePartsError
from precond_gm.objectives import implied_weight
from precond_gm.objectives.expression import add, read
from precond_gm.paths import (
    REGISTRY,
    AbstractPath,
    BrownianBridge,
    Interpolant,
    LinearPath,
    Trigonometric,
    VariancePreserving,
    Warped,
)
from precond_gm.values import TargetKind

V, X1, X0 = TargetKind.VELOCITY, TargetKind.X1, TargetKind.X0
TIMES = torch.linspace(0.02, 0.98, 25, dtype=torch.float64)
PATHS = [
    *map(REGISTRY.create, REGISTRY.names()),
    BrownianBridge(1.3),
    Warped(lambda t: t**3),
    VariancePreserving(signal=lambda t: t**2),
    Interpolant(variance="brownian"),
    Interpolant(variance="quadratic"),
    Interpolant(variance=lambda t: 0.3 * t * (1 - t)),
    Interpolant(lambda t: (1 - t) ** 2, lambda t: t**2),
]


def evaluate(text: str, path: AbstractPath, t: Tensor) -> Tensor:
    """Read a formula as arithmetic: a space is a product, a prime a slope, a power a power."""
    c = path.coefficients(t)
    names = {
        "alpha": c.alpha,
        "alpha_slope": c.alpha_slope,
        "beta": c.beta,
        "beta_slope": c.beta_slope,
        "gamma": c.variance.sqrt(),
        "variance_slope": c.variance_slope,
    }
    text = text.replace("(gamma^2)'", "variance_slope").replace("'", "_slope")
    text = re.sub(r"(\d)t\b", r"\1*t", text.replace("^", "**").replace(" ", "*"))
    functions = {"sin": torch.sin, "cos": torch.cos, "min": lambda a, b: a.clamp(max=b)}
    return eval(text, {"t": t, "pi": math.pi, **functions, **names}) * t**0


def cells() -> list[tuple[AbstractPath, bool, TargetKind, TargetKind]]:
    found = []
    for path, gaussian, have, want in product(PATHS, (False, True), TargetKind, TargetKind):
        try:
            implied_weight(path, have, want, gaussian)
        except IncompatiblePartsError:
            continue
        found.append((path, gaussian, have, want))
    return found


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
def test_every_cell_prints_a_formula_that_evaluates_to_it(path: AbstractPath) -> None:
    """Oracle: the weight from the conversion. Tolerance: the four digits that are printed."""
    mine = [cell for cell in cells() if cell[0] is path]
    assert len(mine) >= 6
    for _, gaussian, have, want in mine:
        implied = implied_weight(path, have, want, gaussian)
        assert "~" not in implied.formula, implied.formula
        got = evaluate(implied.formula, path, TIMES)
        torch.testing.assert_close(
            got, implied(TIMES), rtol=2e-3, atol=1e-9, msg=f"{have} {want}: {implied.formula}"
        )


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
def test_texts_of_a_path_are_its_schedules(path: AbstractPath) -> None:
    """Oracle: the coefficients. Tolerance: six printed digits of sigma^2."""
    c = path.coefficients(TIMES)
    values = {
        "alpha": c.alpha,
        "alpha'": c.alpha_slope,
        "beta": c.beta,
        "beta'": c.beta_slope,
        "gamma^2": c.variance,
        "(gamma^2)'": c.variance_slope,
    }
    for symbol, text in path.formulas.items():
        got = evaluate(text, path, TIMES)
        torch.testing.assert_close(got, values[symbol], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("path", "have", "want", "text"),
    [
        (Trigonometric(), X1, V, "0.25 pi^2/cos(pi t/2)^2"),
        (Trigonometric(), X1, X0, "sin(pi t/2)^2/cos(pi t/2)^2"),
        (Trigonometric(), X0, X0, "1"),
        (VariancePreserving(), X1, V, "beta'^2/alpha^4"),
        (VariancePreserving(), V, X0, "beta^2 alpha^2/beta'^2"),
        (Warped(), X1, V, "36 t^2/((1-t)^2 (1+2 t)^2)"),
        (Warped(lambda t: t**3), X1, V, "beta'^2/alpha^2"),
        (Interpolant(), X1, X0, "(1-t)^2 t^2/((1-t)^2+sin(pi t)^4)^2"),
    ],
)
def test_formulas_in_few_symbols(
    path: AbstractPath, have: TargetKind, want: TargetKind, text: str
) -> None:
    """Oracle: by hand: alpha beta' - alpha' beta is pi/2, beta'/alpha (vp) and kappa' (warped)."""
    assert implied_weight(path, have, want, True).formula == text


def test_a_clamp_is_printed_where_it_acts() -> None:
    """Oracle: min(w, 1/0.05^2), by value too; (1-t)^2 is below 400 everywhere."""
    clamped = implied_weight(Trigonometric(), X1, V, clamp=0.05)
    assert clamped.formula == "min(0.25 pi^2/cos(pi t/2)^2, 400)"
    text = clamped.formula.replace(", ", ",")
    torch.testing.assert_close(
        evaluate(text, Trigonometric(), TIMES), clamped(TIMES), rtol=1e-3, atol=0
    )
    assert implied_weight(LinearPath(), V, X1, clamp=0.05).formula == "(1-t)^2"


def test_growth_at_the_ends_is_said_beside_the_formula() -> None:
    """Oracle: cos(pi t/2) ~ pi/2 (1-t), so the weight goes like (1-t)^-2; sin^2 is at most 1."""
    assert implied_weight(Trigonometric(), X1, V).growth == "~ (1-t)^-2 as t -> 1"
    assert implied_weight(LinearPath(), V, X0).growth == "~ t^2 as t -> 0, at most 1"


def test_sums_fold_what_is_constant_zero_or_alone() -> None:
    """Oracle: cos^2 + sin^2 = 1, a term of factor 0, and pi kept as pi."""
    t = TIMES
    cosine, sine = read("cos(t)^2", t.cos() ** 2), read("sin(t)^2", t.sin() ** 2)
    assert add((1, cosine), (1, sine)).text() == "1"
    assert add((0, cosine), (-2, sine)).text() == "-2 sin(t)^2"
    assert add((1, read("pi/2 t", math.pi / 2 * t)), (1, read("1-t", 1 - t))).text() == (
        "(0.5 pi t+(1-t))"
    )
