"""Every registered coupling keeps the contract."""

from __future__ import annotations

import pytest

from precond_gm.couplings import REGISTRY
from precond_gm.testing.coupling import check_coupling


@pytest.mark.parametrize("name", REGISTRY.names())
def test_coupling_keeps_its_contract(name: str) -> None:
    """Oracle: the rows that went in, their labels, and their means; see check_coupling."""
    check_coupling(name)


def test_the_registry_is_not_empty() -> None:
    """An empty registry would make the parametrised test pass without testing anything."""
    assert {"independent", "ot", "pot.exact"} <= set(REGISTRY.names())
