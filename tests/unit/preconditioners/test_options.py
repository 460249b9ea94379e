"""Options that cannot be used are named where the map is made."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from precond_gm.errors import InvalidInputError
from precond_gm.preconditioners import REGISTRY, Standardize, Whiten

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("low-rank", {"rank": 0}, "LowRank: rank is a whole number from 1 on; got 0"),
    ("low-rank", {"rank": -1}, "got -1"),
    ("low-rank", {"rank": 2.5}, "got 2.5"),
    ("low-rank", {"floor": 2}, "floor is a share of the largest"),
    ("patch", {"size": 0}, "Patch: size is a whole number from 1 on; got 0"),
    ("whiten", {"floor": 2}, r"Whiten: floor is a share of the largest, in \[0, 1\); got 2"),
    ("standardize", {"floor": -1e-3}, "floor is a share"),
    ("sklearn.pca", {"components": 0}, "components is a whole number from 1 on"),
    ("sklearn.factor-analysis", {"factors": -2}, "factors is a whole number"),
    ("sklearn.quantile", {"quantiles": 1}, "quantiles is a whole number from 2 on"),
    ("zuko.realnvp", {"hidden": 64}, r"such as \(64, 64\); got 64\. Write hidden=\(64,\)"),
    ("zuko.realnvp", {"hidden": (64, 0)}, "hidden is a tuple of positive widths"),
    ("zuko.realnvp", {"transforms": 0}, "RealNVP: transforms is a whole number from 1 on"),
    ("zuko.nsf", {"bins": 0}, "bins is a whole number"),
    ("zuko.nsf", {"batch_size": 0}, "batch_size is a whole number from 1 on; got 0"),
    ("zuko.nsf", {"max_steps": -1}, "max_steps is a whole number from 0 on"),
    ("zuko.nsf", {"learning_rate": 0.0}, "learning_rate is a finite number above 0"),
    ("normflows.rqs", {"hidden": (64,)}, "hidden is a whole number"),
    ("normflows.residual", {"hidden": 64}, "hidden is a tuple of positive widths"),
    ("flow-matching", {"steps": 0}, "steps is a whole number"),
]


@pytest.mark.parametrize(("name", "options", "text"), WRONG)
def test_wrong_options_are_refused(name: str, options: dict[str, Any], text: str) -> None:
    """Oracle: the message names the class, the option, what is allowed and what came."""
    with pytest.raises(InvalidInputError, match=text):
        REGISTRY.create(name, **options)


def test_lists_are_widths() -> None:
    """Recipes give lists. Oracle: the widths of the network's layers."""
    part = REGISTRY.create("zuko.realnvp", hidden=[8], transforms=1)
    part.build((2,), None)
    assert {p.shape[0] for p in part.network.parameters()} == {8, 2}


def test_pooled_shrinkage_needs_labels() -> None:
    """Oracle: the message."""
    with pytest.raises(
        InvalidInputError, match="shrinkage='pooled' leans on the covariance of all"
    ):
        Whiten(shrinkage="pooled").fit(torch.randn(20, 2))


@pytest.mark.parametrize("name", ["whiten", "standardize", "hierarchical", "low-rank"])
def test_one_row_per_label(name: str) -> None:
    """Oracle: the message names the cause; what it advises works."""
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InvalidInputError, match=r"no label has more than one row.*shared=True"):
        REGISTRY.create(name).fit(x, torch.arange(5))
    Standardize(shared=True).fit(x, torch.arange(5))
    Whiten().fit(x)
