"""Every registered divergence keeps the contract."""

from __future__ import annotations

import pytest

from precond_gm.objectives.divergences import (
    REGISTRY,
    AbstractDivergence,
    Domain,
    GeneralisedKL,
    Huber,
)
from precond_gm.testing.divergence import check_divergence


@pytest.mark.parametrize("name", REGISTRY.names())
def test_divergence_keeps_its_contract(name: str) -> None:
    """Oracle: stated in check_divergence."""
    check_divergence(name)


def test_the_registry_is_not_empty() -> None:
    """An empty registry would make the parametrised test pass without testing anything."""
    assert {"squared", "bce", "log-det", "huber"} <= set(REGISTRY.names())
    assert len(REGISTRY.names()) >= 10


def test_a_divergence_with_swapped_arguments_is_caught() -> None:
    """Oracle: generalised KL with the prediction first is minimised elsewhere (theory.md, 4)."""

    class Swapped(AbstractDivergence):
        domain = Domain.POSITIVE

        def __call__(self, target, prediction):
            return GeneralisedKL()(prediction, target)

    with pytest.raises(AssertionError, match="Is the target first"):
        check_divergence(Swapped())


def test_huber_would_be_caught_if_it_claimed_to_be_bregman() -> None:
    """Oracle: its minimiser is not the mean, so the check must refuse the claim."""

    class Claims(AbstractDivergence):
        def __call__(self, target, prediction):
            return Huber()(target, prediction)

    with pytest.raises(AssertionError, match="does not minimise"):
        check_divergence(Claims())
