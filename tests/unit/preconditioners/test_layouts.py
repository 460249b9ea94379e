"""Whitening of frequencies, patches and channels; hierarchical shrinkage."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.cosine import inverse_cosine_transform
from precond_gm.preconditioners import Channel, Hierarchical, Patch, Spectral, Whiten


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stationary(rows: int, seed: int = 0) -> Tensor:
    """Draw images that a cosine transform makes independent: power falls with frequency."""
    power = torch.logspace(0, -1, 6, dtype=torch.float64)
    x = noise(rows, 2, 6, 6, seed=seed) * power[:, None] * power
    x = inverse_cosine_transform(inverse_cosine_transform(x, 2), 3)
    mix = torch.tensor([[1.0, 0.0], [0.9, 0.1]], dtype=torch.float64)
    return torch.einsum("bchw,dc->bdhw", x, mix) + 2


def test_spectral_whitens_a_stationary_law() -> None:
    """Oracle: the law is independent in frequencies by construction; sampling noise."""
    x = torch.cat([stationary(6000), 3 * stationary(6000, seed=1)])
    label = torch.arange(2).repeat_interleave(6000)
    part = Spectral(shrinkage="none")
    report = part.fit(x, label)
    assert report.condition_before > 1e4
    edge = (72 / 600) ** 0.5  # Marchenko and Pastur: the spread of 72 eigenvalues from 600 rows
    assert report.condition_after < 1.1 * ((1 + edge) / (1 - edge)) ** 2
    z = part(x, label).value
    for index in range(2):
        rows = z[label == index].flatten(1)
        gap = rows.T @ rows / 6000 - torch.eye(72, dtype=torch.float64)
        assert float(gap.abs().max()) < 6 * 6000**-0.5


def test_spectral_equals_whitening_of_each_frequency() -> None:
    """Oracle: ``Whiten`` on each frequency's channels, after scipy's transform."""
    import scipy.fft

    x = stationary(200)
    part = Spectral(shrinkage="none")
    part.fit(x)
    image = part(x)
    spectrum = torch.from_numpy(scipy.fft.dctn(x.numpy(), axes=(2, 3), norm="ortho"))
    for row, column in ((0, 0), (2, 5), (5, 5)):
        one = Whiten(shrinkage="none", floor=0)
        one.fit(spectrum[:, :, row, column])
        expected = one(spectrum[:, :, row, column]).value
        got = torch.from_numpy(scipy.fft.dctn(image.value.numpy(), axes=(2, 3), norm="ortho"))
        torch.testing.assert_close(got[:, :, row, column], expected, rtol=1e-8, atol=1e-8)
    jacobian = torch.autograd.functional.jacobian(lambda v: part(v[None]).value[0], x[0])
    log_det = torch.linalg.slogdet(jacobian.reshape(72, 72)).logabsdet
    torch.testing.assert_close(image.log_abs_det[0], log_det, rtol=1e-9, atol=1e-9)


def test_patch_of_everything_is_whitening() -> None:
    """Oracle: one patch that covers the image is ``whiten``."""
    x = noise(400, 2, 4, 4) @ noise(4, 4, seed=1)
    patch, whole = Patch(size=4, shrinkage="none"), Whiten(shrinkage="none")
    patch.fit(x)
    whole.fit(x)
    torch.testing.assert_close(patch(x).value, whole(x).value, rtol=1e-6, atol=1e-6)


def test_patches_share_a_covariance_and_keep_their_means() -> None:
    """Oracle: the definition: zero mean of each pixel, covariance one over all patches."""
    x = noise(300, 1, 4, 6) @ noise(6, 6, seed=1) + torch.arange(6)
    part = Patch(size=2, shrinkage="none")
    part.fit(x)
    z = part(x).value
    torch.testing.assert_close(z.mean(0), torch.zeros(1, 4, 6).double(), rtol=0, atol=1e-10)
    blocks = z.unfold(2, 2, 2).unfold(3, 2, 2).reshape(300 * 6, 4)
    torch.testing.assert_close(blocks.T @ blocks / 1800, torch.eye(4).double(), rtol=0, atol=1e-10)


def test_channel_whitens_colours_only() -> None:
    """Oracle: the covariance of the channels over all pixels is one."""
    x = torch.einsum("bchw,dc->bdhw", noise(300, 3, 2, 2), noise(3, 3, seed=1))
    part = Channel(shrinkage="none")
    part.fit(x)
    z = part(x).value.transpose(0, 1).flatten(1)
    torch.testing.assert_close(z @ z.T / 1200, torch.eye(3).double(), rtol=0, atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(
    event=st.sampled_from([(4,), (3, 4), (1, 4, 4), (3, 2, 6), (2, 2, 2, 4)]),
    cls=st.sampled_from([Spectral, Patch, Channel]),
    labels=st.integers(1, 3),
    single=st.booleans(),
)
def test_round_trip_of_any_shape(
    event: tuple[int, ...], cls: type, labels: int, single: bool
) -> None:
    """Oracle: the identity; tolerance 500 eps of the largest entry. The log-determinants cancel."""
    x = noise(40, *event) * 3 + 1
    x = x.float() if single else x
    label = torch.arange(40) % labels
    part = cls(size=2) if cls is Patch else cls()
    part.fit(x, label)
    there = part(x, label)
    back = part.inverse(there.value, label)
    allowed = 500 * torch.finfo(x.dtype).eps * float(x.abs().max())
    assert float((back.value - x).abs().max()) <= allowed
    torch.testing.assert_close(there.log_abs_det, -back.log_abs_det)


def test_patches_that_do_not_tile_are_refused() -> None:
    """Oracle: the message lists the sizes that do."""
    with pytest.raises(InvalidInputError, match=r"Use one of the sizes \[1, 2\]"):
        Patch(size=4).fit(noise(20, 1, 6, 4))


def test_spectral_of_large_images_needs_little_memory() -> None:
    """196,608 features: a d x d matrix would hold 4e10 numbers. Oracle: the identity."""
    x = torch.randn(12, 3, 256, 256, generator=torch.Generator().manual_seed(0)).cumsum(3) / 16
    part = Spectral()
    part.fit(x)
    back = part.inverse(part(x).value).value
    torch.testing.assert_close(back, x, rtol=1e-4, atol=1e-4)


def test_hierarchical_shrinks_rare_labels_most() -> None:
    """Oracle: the posterior mean by hand, with the strengths that the report names."""
    x = noise(3000, 3) @ torch.diag(torch.tensor([0.1, 1, 5], dtype=torch.float64))
    label = torch.cat([torch.zeros(2600), torch.arange(400) % 8 + 1]).long()
    x[2600:] *= 2 + label[2600:, None]
    part = Hierarchical()
    report = part.fit(x, label)
    alone = Whiten(shrinkage="none").fit(x, label)
    assert report.log_likelihood > alone.log_likelihood
    covariance = torch.linalg.inv(part.operator.matrices()[:, 0] @ part.operator.matrices()[:, 0])
    own = torch.stack([torch.cov(x[label == index].T, correction=0) for index in range(9)])
    counts = torch.bincount(label).double()
    common = (own * counts[:, None, None]).sum(0) / 3000
    share = ((covariance - own) / (common - own)).mean((1, 2))
    nu = float(report.notes[0].split()[1]) * 3
    torch.testing.assert_close(share, nu / (nu + counts), rtol=1e-5, atol=1e-5)
