"""Every registered time law keeps the contract."""

from __future__ import annotations

import pytest

from precond_gm.objectives.time_laws import REGISTRY, FixedTimeLaw
from precond_gm.testing.time_law import check_time_law


@pytest.mark.parametrize("name", REGISTRY.names())
def test_time_law_keeps_its_contract(name: str) -> None:
    """Oracle: stated in check_time_law."""
    check_time_law(name)


@pytest.mark.parametrize("name", REGISTRY.names())
@pytest.mark.parametrize("sampling", ["stratified", "low-discrepancy"])
def test_every_law_is_also_drawn_with_less_variance(name: str, sampling: str) -> None:
    """Oracle: the same law, by the same check."""
    check_time_law(REGISTRY.create(name, sampling=sampling))


def test_the_registry_is_not_empty() -> None:
    """An empty registry would make the parametrised test pass without testing anything."""
    assert {"uniform", "beta", "logit-normal", "adaptive"} <= set(REGISTRY.names())


def test_a_law_with_a_wrong_density_is_caught() -> None:
    """Oracle: a density that is not the slope of its distribution function."""

    class Wrong(FixedTimeLaw):
        def quantile(self, u):
            return u.sqrt()

        def cdf(self, t):
            return t.square()

        def log_density(self, t):
            return t.log()

    with pytest.raises(AssertionError, match="not the slope"):
        check_time_law(Wrong())
