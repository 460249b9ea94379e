"""Chains."""

from __future__ import annotations

import pytest
import torch

from precond_gm.errors import InvalidInputError, InvalidTypeError
from precond_gm.preconditioners import REGISTRY, Chain, Identity, Spectral, Standardize, Whiten


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(600, 4, generator=draw, dtype=torch.float64)
    x = x @ torch.diag(torch.tensor([1e-2, 1, 5, 40], dtype=torch.float64)) + 3
    return x, torch.arange(600) % 2


def test_equals_one_after_the_other() -> None:
    """Oracle: the maps applied by hand; log-determinants add."""
    x, label = rows()
    chain = Chain([Standardize(), Whiten()])
    chain.fit(x, label)
    first, second = chain
    middle = first(x, label)
    end = second(middle.value, label)
    got = chain(x, label)
    torch.testing.assert_close(got.value, end.value)
    torch.testing.assert_close(got.log_abs_det, middle.log_abs_det + end.log_abs_det)
    torch.testing.assert_close(chain.inverse(got.value, label).value, x, rtol=0, atol=1e-10)
    assert chain.num_labels == 2


def test_stream_equals_tensor() -> None:
    """A generator can be read only once and is kept. Oracle: the fit on one tensor."""
    x, label = rows()
    chain = Chain([Standardize(), Whiten(shrinkage="none")])
    chain.fit(x, label)
    expected = chain(x, label).value
    chain.fit((x[i::5], label[i::5]) for i in range(5))
    torch.testing.assert_close(chain(x, label).value, expected, rtol=1e-8, atol=1e-8)


def test_list_resolves_and_nests() -> None:
    """Oracle: the order of the names."""
    chain = REGISTRY.resolve(["identity", ["standardize", ("whiten", {"form": "pca"})]])
    assert [type(item) for item in chain] == [Identity, Standardize, Whiten]
    report = chain.fit(rows()[0])
    assert report.name == "Chain(Identity, Standardize, Whiten)"
    assert report.condition_after < 2


def test_saved_state_restores() -> None:
    """Oracle: the fitted chain's image, bit for bit."""
    x, label = rows()
    chain = Chain([Standardize(), Whiten()])
    chain.fit(x, label)
    fresh = Chain([Standardize(), Whiten()])
    fresh.build((4,), 2)
    fresh.double().load_state_dict(chain.state_dict())
    assert torch.equal(fresh(x, label).value, chain(x, label).value)


def test_refusals() -> None:
    """Oracle: the message says what a chain holds."""
    with pytest.raises(InvalidInputError, match="at least one map"):
        Chain([])
    with pytest.raises(InvalidTypeError, match="holds preconditioners"):
        Chain(["whiten"])  # type: ignore[list-item]


def test_affine_neighbours_are_multiplied_out() -> None:
    """Oracle: the maps applied one by one; the stages are one product and the map in between."""
    x, label = rows()
    chain = Chain([Standardize(), Whiten(shared=True), Whiten(form="pca"), Spectral(), Whiten()])
    chain.fit(x, label)
    assert len(chain._stages()) == 3
    z, total = x, torch.zeros(600).double()
    for item in chain:
        image = item(z, label)
        z, total = image.value, total + image.log_abs_det
    got = chain(x, label)
    torch.testing.assert_close(got.value, z, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(got.log_abs_det, total, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(chain.inverse(z, label).value, x, rtol=0, atol=1e-9)


def test_products_follow_the_maps() -> None:
    """A new fit, a new dtype and a loaded state are seen. Oracle: the maps applied one by one."""
    x, label = rows()
    chain = Chain([Standardize(), Standardize()])
    for part in (x, x[:300] * 7, x[:200] - 2):
        chain.fit(part, label[: part.shape[0]])
        first, second = chain
        chosen = label[: part.shape[0]]
        torch.testing.assert_close(
            chain(part, chosen).value, second(first(part, chosen).value, chosen).value
        )
    chain.float()
    assert chain(x.float(), label).value.dtype == torch.float32
