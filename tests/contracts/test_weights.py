"""Every registered weight keeps the contract."""

from __future__ import annotations

import pytest

from precond_gm.objectives.weights import REGISTRY, UserWeight
from precond_gm.testing.weight import check_weight


@pytest.mark.parametrize("name", REGISTRY.names())
def test_weight_keeps_its_contract(name: str) -> None:
    """Oracle: stated in check_weight."""
    check_weight(name)


def test_the_registry_is_not_empty() -> None:
    """An empty registry would make the parametrised test pass without testing anything."""
    assert {"constant", "inverse-remaining", "learned"} <= set(REGISTRY.names())


def test_a_negative_weight_is_caught() -> None:
    """Oracle: the contract says positive."""
    with pytest.raises(AssertionError, match="not positive"):
        check_weight(UserWeight(lambda t: t - 0.5))
