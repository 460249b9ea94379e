"""Sigma_t at every t: closed forms, exact identities, and what bad input is told."""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from precond_gm.couplings.base import AbstractCoupling
from precond_gm.diagnostics import conditioning
from precond_gm.diagnostics.conditioning import from_moments
from precond_gm.diagnostics.end_moments import EndMoments
from precond_gm.diagnostics.ends import Ends
from precond_gm.errors import InvalidInputError
from precond_gm.paths import LinearPath
from precond_gm.values import Batch, Pairing


def exact_rows(eigenvalues: list[float], rows: int = 400, seed: int = 0) -> Tensor:
    """Return rows whose covariance has exactly these eigenvalues, in rotated axes."""
    generator = torch.Generator().manual_seed(seed)
    dim = len(eigenvalues)
    x = torch.randn(rows, dim, generator=generator, dtype=torch.float64)
    x = x - x.mean(0)
    left, _, _ = torch.linalg.svd(x, full_matrices=False)  # columns: orthonormal, centred
    rotation, _ = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))
    root = torch.tensor(eigenvalues, dtype=torch.float64).sqrt()
    return 3.0 + rows**0.5 * (left * root) @ rotation.T


class Aligned(AbstractCoupling):
    """Test coupling with a known cross-covariance: z0 becomes signs times the whitened z1."""

    def __init__(self, correlation: Tensor) -> None:
        self.correlation = correlation

    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        rest = (1 - self.correlation**2).sqrt()
        return Pairing(self.correlation * z1 + rest * z0, z1, label)


TABLE = {  # t: (linear, bridge), for eigenvalues 1e-3 .. 1e2
    0.25: (12.1, 7.67),
    0.50: (101.0, 34.3),
    0.75: (893.0, 129.0),
    0.90: (7.49e3, 426.0),
    0.99: (9.07e4, 4.69e3),
    1.00: (1e5, 1e5),
}


@pytest.mark.parametrize(("column", "path"), [(0, "linear"), (1, "brownian-bridge")])
def test_table_of_condition_numbers(column: int, path: str) -> None:
    """Oracle: the closed form for exact eigenvalues. Tolerance: the table's three digits."""
    times = torch.tensor(list(TABLE), dtype=torch.float64)
    report = conditioning(exact_rows([1e-3, 0.1, 3.0, 1e2]), path=path, times=times)
    expected = torch.tensor([row[column] for row in TABLE.values()], dtype=torch.float64)
    torch.testing.assert_close(report.condition_number, expected, rtol=5e-3, atol=0)


def test_spectrum_is_the_closed_form_at_every_t() -> None:
    """Oracle: (1-t)^2 + t^2 lambda. Tolerance: float64 rounding of the eigendecomposition."""
    values = torch.tensor([0.01, 1.0, 1.0, 9.0], dtype=torch.float64)
    report = conditioning(exact_rows(values.tolist()), times=7)
    t = torch.linspace(0, 1, 7, dtype=torch.float64)[:, None]
    torch.testing.assert_close(report.eigenvalues, (1 - t) ** 2 + t**2 * values)
    first = report.eigenvalues[0]
    assert float(report.effective_rank[0]) == pytest.approx(4)  # t = 0 is the identity
    assert float(report.participation_ratio[0]) == pytest.approx(4)
    assert torch.equal(first, torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize(("path", "expected"), [("linear", 19.0), ("brownian-bridge", 2.636)])
def test_other_couplings_are_not_saved_by_whitening(path: str, expected: float) -> None:
    """Oracle: theory section 2, C = diag(0.9, -0.9) gives 19 and 2.64 at t = 1/2.

    Tolerance: the cross-covariance is estimated from 40,000 pairs, standard error 0.5 % of 1 - 0.9
    each way, times the condition number's sensitivity: five of these are 13 %.
    """
    correlation = torch.tensor([0.9, -0.9], dtype=torch.float64)
    report = conditioning(
        whitened(40_000),
        coupling=Aligned(correlation),
        path=path,
        times=torch.tensor([0.5]),
        batch_size=8192,
    )
    assert float(report.condition_number[0]) == pytest.approx(expected, rel=0.13)


def whitened(rows: int) -> Tensor:
    x = torch.randn(rows, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = x - x.mean(0)
    root = torch.linalg.cholesky(x.T @ x / rows)
    return torch.linalg.solve_triangular(root, x.T, upper=False).T


def test_matched_source_is_exact_at_the_noise_end() -> None:
    """Oracle: Sigma_0 = I whatever the coupling. Tolerance: rounding of one inverse square root."""
    report = conditioning(whitened(500), coupling=Aligned(torch.tensor([0.5, 0.5])), times=3)
    assert float(report.condition_number[0]) == pytest.approx(1.0, abs=1e-9)


def test_a_given_source_is_used() -> None:
    """Oracle: both ends diagonal in one basis: (1-t)^2 s_i + t^2 lambda_i."""
    source = exact_rows([0.5, 2.0, 8.0], seed=3)
    report = conditioning(source * 2.0, source=source, times=torch.tensor([0.5]))
    expected = 0.25 * (1 + 4) * torch.tensor([0.5, 2.0, 8.0], dtype=torch.float64)
    torch.testing.assert_close(report.eigenvalues[0], expected)


def test_labels_and_pooled_agree_with_direct_computation() -> None:
    """Oracle: torch.cov of each label's rows and of all rows."""
    x = torch.randn(300, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    label = torch.arange(300) % 3
    x = x * (1 + label[:, None]) + 5 * label[:, None]
    report = conditioning(x, label, times=torch.tensor([1.0]))
    for rows, part in [(x, report)] + [(x[label == k], report.per_label[k]) for k in range(3)]:
        direct = torch.linalg.eigvalsh(torch.cov(rows.T, correction=0))
        torch.testing.assert_close(part.eigenvalues[0], direct)
        assert part.num_samples == rows.shape[0]


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 59), min_size=0, max_size=6, unique=True),
    seed=st.integers(0, 10_000),
)
def test_batches_and_their_order_do_not_matter(cuts: list[int], seed: int) -> None:
    """Oracle: the same rows as one tensor. Tolerance: float64 rounding of another order of sums."""
    generator = torch.Generator().manual_seed(seed)
    x = 100 + torch.randn(60, 2, generator=generator, dtype=torch.float64)
    label = torch.randint(0, 3, (60,), generator=generator)
    edges = [0, *sorted(cuts), 60]
    parts = [Batch(x[a:b], label[a:b]) for a, b in itertools.pairwise(edges)]
    whole = EndMoments.of(Ends(x, label))
    merged = EndMoments.of(Ends(parts[:1]))
    for part in reversed(parts[1:]):
        merged = merged.merge(EndMoments.of(Ends([part])))
    together = [first.merge(second) for first, second in (merged.pooled, whole.pooled)]
    torch.testing.assert_close(together[0].scatter, together[1].scatter)
    streamed = conditioning(parts, times=3).condition_number
    torch.testing.assert_close(streamed, conditioning(x, label, times=3).condition_number)


def test_preconditioner_is_fitted_on_other_rows_and_flattens_the_curve() -> None:
    """Oracle: whitened rows have condition number near 1 at all t; held out, so not exactly."""
    x = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x * torch.tensor([1e-2, 0.1, 1.0, 10.0])
    report = conditioning(x, preconditioner="whiten", times=11)
    assert report.num_samples == 2000
    assert "fitted on 2000" in report.notes[0]
    assert 1.0 < report.worst < 1.5


def test_report_is_plain_and_finite() -> None:
    """Oracle: JSON accepts it, MLflow's character set holds, every metric is finite."""
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 0.25  # a constant feature: the condition number is infinite at t = 1
    report = conditioning(x, torch.arange(50) % 2, times=5)
    assert report.condition_number[-1] == float("inf")
    assert report.condition_number[:-1].isfinite().all()
    metrics = report.as_metrics()
    assert all(math.isfinite(v) for v in metrics.values())
    assert all(set(k) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-./") for k in metrics)
    json.dumps(report.to_dict(), allow_nan=False)
    assert len(report.plot().axes) == 3


def test_one_label_with_one_row_is_said() -> None:
    """Oracle: the contract: such a label has no covariance, the others do."""
    report = conditioning(torch.randn(9, 2), torch.tensor([0] * 8 + [1]), times=3)
    assert list(report.per_label) == [0]
    assert "[1]" in report.notes[0]


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(2, 12), dim=st.integers(1, 20), scale=st.floats(1e-6, 1e6))
def test_fewer_rows_than_dimensions(rows: int, dim: int, scale: float) -> None:
    """Oracle: rank at most rows - 1, no negative eigenvalue, infinite condition number at t = 1."""
    x = scale * torch.randn(rows, dim, generator=torch.Generator().manual_seed(rows + dim))
    report = conditioning(x, times=3)
    assert (report.eigenvalues >= 0).all()
    assert (report.eigenvalues[-1] > 0).sum() <= min(rows - 1, dim)
    assert (report.condition_number[-1] == float("inf")) == (dim > rows - 1)
    assert not report.is_reliable or rows >= 10 * dim


@pytest.mark.parametrize(
    ("x", "label", "options", "words"),
    [
        (torch.zeros(1, 2), None, {}, "at least 2 rows"),
        (torch.tensor([[0.0, float("nan")], [1.0, 1.0]]), None, {}, "row 0, feature"),
        (torch.zeros(3, 2), torch.tensor([0, 1]), {}, "one label per row"),
        (torch.zeros(3, 2), None, {"times": 1}, "at least 2"),
        (torch.zeros(3, 2), None, {"times": torch.tensor([0.5, 1.5])}, "within \\[0, 1\\]"),
        (torch.zeros(3, 2), None, {"preconditioner": "whiten"}, "at least 4 rows"),
    ],
)
def test_bad_input(x: Tensor, label: Tensor | None, options: dict[str, object], words: str) -> None:
    """Oracle: the message names what is wrong."""
    with pytest.raises(InvalidInputError, match=words):
        conditioning(x, label, **options)  # type: ignore[arg-type]


def test_a_coupling_that_needs_fitting_is_fitted() -> None:
    """Oracle: the coupling sees every row in z, with its label, before it pairs."""
    seen: list[Batch] = []

    class Fitted(Aligned):
        @property
        def needs_fit(self) -> bool:
            return not seen

        def fit(self, z1: object, label: object = None, *, generator: object = None) -> None:
            seen.extend(z1)  # type: ignore[arg-type]

    x, label = whitened(300), torch.arange(300) % 2
    conditioning(x, label, coupling=Fitted(torch.tensor([0.1, 0.1])), times=3)
    assert torch.equal(torch.cat([b.x for b in seen]), x)
    assert torch.equal(torch.cat([b.label for b in seen if b.label is not None]), label)


def test_infinite_values_are_named_at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the position of the planted value, with the covariance formed and without."""
    x = torch.randn(20, 30)
    x[7, 3] = float("inf")
    module = sys.modules["precond_gm.diagnostics.conditioning"]
    for most in (1000, 10):
        monkeypatch.setattr(module, "DENSE_DIM", most)
        with pytest.raises(InvalidInputError, match="row 7, feature"):
            conditioning(x)


def test_rows_on_disk_are_read_as_they_are(tmp_path: Path) -> None:
    """Oracle: the same rows in memory; the file is mapped, and read chunk by chunk."""
    x = torch.randn(300, 5, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 6)
    mapped = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, tuple(x.shape))
    mapped[:] = x.numpy()
    on_disk = conditioning(torch.from_numpy(mapped))
    torch.testing.assert_close(on_disk.eigenvalues, conditioning(x).eigenvalues)


def _one_rank(rank: int, address: str, parts: list[tuple[Tensor, Tensor]], results: Tensor) -> None:
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    try:
        moments = EndMoments.of(Ends(*parts[rank])).all_reduce(num_labels=3)
        t = torch.tensor([0.5, 1.0], dtype=torch.float64)
        report = from_moments(moments, LinearPath(), t)
        results[rank] = torch.stack([part.condition_number for part in report.per_label.values()])
    finally:
        dist.destroy_process_group()


def test_two_processes_see_the_data_of_both(tmp_path: Path) -> None:
    """Oracle: one process with all rows; one of the two never sees the last label."""
    x = torch.randn(90, 4, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 5)
    label = torch.arange(90) // 30
    results = torch.zeros(2, 3, 2, dtype=torch.float64).share_memory_()
    parts = [(x[:40], label[:40]), (x[40:], label[40:])]
    mp.spawn(_one_rank, (f"file://{tmp_path}/rendezvous", parts, results), nprocs=2)
    whole = conditioning(x, label, times=torch.tensor([0.5, 1.0]))
    expected = torch.stack([part.condition_number for part in whole.per_label.values()])
    torch.testing.assert_close(results, expected.expand(2, 3, 2))
