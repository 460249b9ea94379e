"""Every registered path keeps the contract."""

from __future__ import annotations

import pytest

from precond_gm.paths import REGISTRY
from precond_gm.testing.path import check_path


@pytest.mark.parametrize("name", REGISTRY.names())
def test_path_keeps_its_contract(name: str) -> None:
    """Oracle: autograd for slopes, exact ends, repeatability; see check_path."""
    check_path(name)


def test_the_registry_is_not_empty() -> None:
    """An empty registry would make the parametrised test pass without testing anything."""
    assert {"linear", "brownian-bridge"} <= set(REGISTRY.names())
