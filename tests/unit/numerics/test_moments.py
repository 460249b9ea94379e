"""Streaming moments: exact merges, on one process and on two."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from precond_gm.numerics.moments import MomentGathering, Moments, grouped


def rows_of(count: int, dim: int = 3, seed: int = 0, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return shift + torch.randn(count, dim, generator=generator, dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 20), seed=st.integers(0, 1000), shift=st.floats(-1e6, 1e6))
def test_merge_is_the_moments_of_all_rows(cut: int, seed: int, shift: float) -> None:
    """Oracle: torch.cov of all rows. Tolerance: rounding of the rows themselves at that shift."""
    x = rows_of(20, seed=seed, shift=shift)
    left, right = Moments.of(x[:cut]), Moments.of(x[cut:])
    for merged in (left.merge(right), right.merge(left)):
        expected = torch.cov(x.T, correction=0)
        torch.testing.assert_close(merged.covariance, expected, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(merged.mean, x.mean(0))


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 20), min_size=1, max_size=4),
    dim=st.integers(1, 5),
    shift=st.floats(-1e6, 1e6),
)
def test_gathering_in_parts_is_the_moments_of_all_rows(
    cuts: list[int], dim: int, shift: float
) -> None:
    """Oracle: torch.cov of all rows; odd dimensions, empty parts and parts of one row included."""
    x = rows_of(20, dim, shift=shift)
    gathering = MomentGathering(dim)
    for part in torch.tensor_split(x, sorted(cuts)):
        gathering.add(part)
    found = gathering.moments()
    expected = torch.cov(x.T, correction=0).reshape(dim, dim)
    torch.testing.assert_close(found.covariance, expected, rtol=1e-8, atol=1e-8)
    assert torch.equal(found.scatter, found.scatter.T)
    assert found.count == 20


def test_many_parts_merge_at_once() -> None:
    """Oracle: torch.cov of all rows, and of all rows less their part's mean."""
    x = rows_of(30, shift=5.0)
    parts = [rows + 3 * index for index, rows in enumerate(torch.split(x, [4, 1, 25]))]
    moments = [Moments.of(rows) for rows in parts]
    merged = Moments.empty(3).merge(*moments)
    torch.testing.assert_close(merged.covariance, torch.cov(torch.cat(parts).T, correction=0))
    centred = torch.cat([rows - rows.mean(0) for rows in parts])
    torch.testing.assert_close(Moments.within(moments).scatter, centred.T @ centred)
    means = torch.cat([rows.mean(0).expand_as(rows) for rows in parts])
    between = Moments.between(moments)
    torch.testing.assert_close(between.covariance, torch.cov(means.T, correction=0))
    torch.testing.assert_close(between.mean, merged.mean)
    torch.testing.assert_close(between.scatter + Moments.within(moments).scatter, merged.scatter)


def test_float32_rows_far_from_zero() -> None:
    """Oracle: the covariance in float64 of the same rows; a float32 sum would lose every digit."""
    x = (1e4 + rows_of(1000)).float()
    expected = torch.cov(x.double().T, correction=0)
    torch.testing.assert_close(Moments.of(x).covariance, expected)


def test_groups_are_the_rows_of_each_group() -> None:
    """Oracle: direct selection."""
    x, group = rows_of(30), torch.arange(30) % 4
    for name, rows, _ in grouped(x, group):
        part = Moments.of(rows)
        torch.testing.assert_close(part.scatter, Moments.of(x[group == name]).scatter)


def test_weights_act_like_repeated_rows() -> None:
    """Oracle: the covariance of rows written out as often as their weight says."""
    x, times = rows_of(6), torch.tensor([1, 2, 3, 1, 1, 4])
    expected = Moments.of(x.repeat_interleave(times, 0)).covariance
    torch.testing.assert_close(Moments.of(x, times.double()).covariance, expected)


def test_all_reduce_without_processes_changes_nothing() -> None:
    """Oracle: identity."""
    part = Moments.of(rows_of(5))
    assert part.all_reduce() is part


def _one_rank(rank: int, address: str, rows: Tensor, results: Tensor) -> None:
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    try:
        part = Moments.of(rows[:7] if rank == 0 else rows[7:])
        results[rank] = part.all_reduce().covariance
    finally:
        dist.destroy_process_group()


def test_all_reduce_over_two_processes(tmp_path: object) -> None:
    """Oracle: the moments of all rows in one process; uneven shares."""
    rows = rows_of(20, shift=1e3)
    results = torch.zeros(2, 3, 3, dtype=torch.float64).share_memory_()
    mp.spawn(_one_rank, (f"file://{tmp_path}/rendezvous", rows, results), nprocs=2)
    expected = Moments.of(rows).covariance
    torch.testing.assert_close(results[0], expected)
    torch.testing.assert_close(results[1], expected)
