"""Every registered preconditioner, ours or a plugin's, keeps the contract by being registered."""

from __future__ import annotations

import pytest
import torch

from precond_gm.preconditioners import REGISTRY
from precond_gm.testing.preconditioner import check_preconditioner

NAMES = REGISTRY.names()


def test_names_are_not_empty() -> None:
    """Oracle: the entry points of pyproject.toml; an empty list would make the others pass."""
    assert {"identity", "standardize", "whiten"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str) -> None:
    """Oracles: the identity for round trips, autograd for log-determinants (see the check)."""
    check_preconditioner(name)


@pytest.mark.parametrize("name", NAMES)
def test_created_without_options(name: str) -> None:
    """Oracle: the rule that every name can be created from nothing."""
    part = REGISTRY.create(name)
    assert part.is_fitted is not part.needs_fit
    assert REGISTRY.load(REGISTRY.name_of(part)) is REGISTRY.load(name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", NAMES)
def test_cuda(name: str) -> None:
    """The image on CUDA equals the image on the CPU. Oracle: the CPU; float32, tolerance 1e-2."""
    part = REGISTRY.create(name)
    draw = torch.Generator().manual_seed(0)
    x = torch.sigmoid(torch.randn(200, 1, 4, 4, generator=draw))
    label = torch.arange(200) % 3
    part.fit(x, label, max_steps=5)
    expected = part(x, label).value
    part.cuda()
    got = part(x.cuda(), label.cuda())
    torch.testing.assert_close(got.value.cpu(), expected, rtol=1e-2, atol=1e-2)
    back = part.inverse(got.value, label.cuda()).value
    torch.testing.assert_close(back.cpu(), x, rtol=1e-2, atol=1e-2)


# These change units, intervals or single features, or whiten stationary laws of images only.
NOT_DECORRELATING = {
    "affine-range",
    "channel",
    "identity",
    "logit",
    "normflows.glow",
    "sklearn.power",
    "sklearn.quantile",
    "spectral",
    "standardize",
}


@pytest.mark.parametrize("name", sorted(set(NAMES) - NOT_DECORRELATING))
def test_conditioning_improves_on_held_out_rows(name: str) -> None:
    """Oracle: a mixture with eigenvalues 1e-3 to 1 turned per label, whose condition is 1,000."""
    draw = torch.Generator().manual_seed(0)
    spectrum = torch.logspace(-3, 0, 4, dtype=torch.float64).sqrt()
    turns = torch.linalg.qr(torch.randn(2, 4, 4, generator=draw, dtype=torch.float64))[0]
    label = torch.arange(1200) % 2
    x = torch.randn(1200, 4, generator=draw, dtype=torch.float64) * spectrum
    x = (turns[label] @ x[..., None])[..., 0] + label[:, None]
    report = REGISTRY.create(name).fit(x, label, max_steps=0)
    assert 500 < report.condition_before < 2000
    assert report.condition_after < report.condition_before / 5
