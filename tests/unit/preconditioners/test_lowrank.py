"""Diagonal plus low rank."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.numerics.sketch import Sketch
from precond_gm.preconditioners import LowRank, Whiten


def spiked(rows: int = 4000, dim: int = 30, seed: int = 0) -> Tensor:
    """Draw rows with three large directions and noise, of features in different units."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 3, generator=draw, dtype=torch.float64) @ torch.randn(
        3, dim, generator=draw, dtype=torch.float64
    )
    x = 3 * x + 0.1 * torch.randn(rows, dim, generator=draw, dtype=torch.float64)
    return x * torch.logspace(-2, 2, dim, dtype=torch.float64) + 1


def test_sketch_of_few_directions_is_exact() -> None:
    """Oracle: the singular value decomposition of all rows at once."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(300, 4, generator=draw, dtype=torch.float64) @ torch.randn(
        4, 50, generator=draw, dtype=torch.float64
    )
    whole = Sketch.of(x, 6)
    parts = Sketch.of(x[:100], 6).merge(Sketch.of(x[100:], 6))
    values = torch.linalg.svdvals(x - x.mean(0)).square()[:4] / 300
    for sketch in (whole, parts):
        got, vectors, _ = sketch.eigenpairs(6)
        torch.testing.assert_close(got[:4], values, rtol=1e-8, atol=0)
        torch.testing.assert_close(vectors[:4] @ vectors[:4].T, torch.eye(4).double())
        torch.testing.assert_close(sketch.mean, x.mean(0))
        torch.testing.assert_close(sketch.total, (x - x.mean(0)).square().sum())


def test_full_rank_is_whitening() -> None:
    """Oracle: the covariance of the image is I when no direction is left out."""
    x = spiked(dim=8)
    part = LowRank(rank=8)
    part.fit(x)
    z = part(x).value
    torch.testing.assert_close(z.T @ z / 4000, torch.eye(8).double(), rtol=0, atol=1e-6)


def test_spiked_law_per_label() -> None:
    """Oracle: the law is diagonal plus low rank, so the image is white up to sampling noise."""
    x = torch.cat([spiked(), spiked(seed=1)])
    label = torch.arange(2).repeat_interleave(4000)
    part = LowRank(rank=16)
    report = part.fit(x, label)
    full = Whiten().fit(x, label)
    assert report.condition_before > 1e8
    assert report.condition_after < 3 * full.condition_after
    image = part(x[:2], label[:2])
    jacobian = torch.autograd.functional.jacobian(lambda v: part(v[None], label[:1]).value[0], x[0])
    log_det = torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(image.log_abs_det[0], log_det, rtol=1e-8, atol=1e-8)


def test_directions_that_are_noise_are_not_believed() -> None:
    """Oracle: a law with equal eigenvalues and fewer rows than features."""
    x = torch.randn(60, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    report = LowRank(rank=32).fit(x)
    assert any("0 of 32 directions believed" in note for note in report.notes)


def test_large_dimension_in_single_precision() -> None:
    """50,000 features, where a matrix would hold 2.5e9 numbers. Oracle: the identity."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(40, 2, generator=draw) @ torch.randn(2, 50_000, generator=draw)
    x = x + 0.1 * torch.randn(40, 50_000, generator=draw)
    part = LowRank(rank=4)
    part.fit(x)
    torch.testing.assert_close(part.inverse(part(x).value).value, x, rtol=1e-4, atol=1e-4)
