"""Pairs made ahead of time, in workers and over several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from precond_gm.couplings import REGISTRY, Gathered, Independent, PairsAhead
from precond_gm.couplings.base import AbstractCoupling
from precond_gm.errors import (
    InvalidInputError,
    InvalidTypeError,
    NotFittedError,
    PrecondError,
    TrackingError,
    UnknownNameError,
    WorkerError,
)
from precond_gm.values import Pairing
from precond_gm_pot import Semidiscrete


def rows(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


def ahead(**options: object) -> PairsAhead:
    settings: dict[str, object] = {"batch_size": 8, "ot_batch": 32, "seed": 1, **options}
    return PairsAhead(rows(100), torch.arange(100) % 3, REGISTRY.create("ot"), **settings)  # type: ignore[arg-type]


class Picky(PrecondError):
    """An error that cannot be sent to another process: it takes two arguments."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one}, {two}")


class Raises(AbstractCoupling):
    """A coupling with an error in it."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        raise self.error


class Dies(AbstractCoupling):
    """A coupling whose process ends."""

    def __init__(self, how: str = "exit") -> None:
        self.how = how

    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(1)


def test_workers_do_not_change_the_pairs() -> None:
    """Oracle: the same pairs, in the same order, with none and with two workers, in two epochs."""
    here, there = ahead(), ahead(num_workers=2)
    for _ in range(2):
        for one, two in zip(here, there, strict=True):
            assert torch.equal(one.z0, two.z0)
            assert torch.equal(one.z1, two.z1)


def test_an_epoch_uses_each_row_once_with_its_label() -> None:
    """Oracle: the rows and labels of the data set; three OT batches of 32 out of 100 rows."""
    pairs = ahead()
    batches = list(pairs)
    assert len(batches) == len(pairs) == 12
    assert all(batch.z0.shape == (8, 3) for batch in batches)
    data, label = rows(100), torch.arange(100) % 3
    seen = [int((data == row).all(1).nonzero()) for batch in batches for row in batch.z1]
    assert len(set(seen)) == 96
    named = torch.cat([batch.label for batch in batches if batch.label is not None])
    assert torch.equal(named, label[seen])


def test_epochs_and_seeds_differ_and_epochs_can_be_resumed() -> None:
    """Oracle: other noise in the next epoch; the same where ``epoch`` is set back."""
    pairs = ahead()
    first, second = next(iter(pairs)), next(iter(pairs))
    assert not torch.equal(first.z0, second.z0)
    assert not torch.equal(first.z0, next(iter(ahead(seed=2))).z0)
    assert torch.equal(second.z0, next(iter(ahead(epoch=1))).z0)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loop_goes_on_from_any_step(workers: int) -> None:
    """Over the border of an epoch (12 batches). Oracle: the epochs, one after the other."""
    pairs = ahead()
    expected = [*pairs, *pairs]
    for step in (0, 5, 11, 13):
        found = ahead(num_workers=workers).batches_from(step)
        for batch in expected[step : step + 4]:
            assert torch.equal(next(found).z0, batch.z0)
        found.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_the_coupling_is_no_death(workers: int) -> None:
    """Oracle: the error that the coupling raises without workers, class and text."""
    pairs = PairsAhead(rows(32), None, Semidiscrete(), batch_size=8, num_workers=workers)
    with pytest.raises(NotFittedError, match=r"^Semidiscrete is not fitted. Call fit\(z1, label\)"):
        next(iter(pairs))


@pytest.mark.parametrize("error", [KeyError("key"), EOFError("end"), Picky("one", "two")])
def test_any_other_error_of_a_worker_is_no_death(error: Exception) -> None:
    """Oracle: PyTorch's own report names the class; errors that cannot travel do not hang."""
    pairs = PairsAhead(rows(32), None, Raises(error), batch_size=8, num_workers=1)
    with pytest.raises(Exception, match=f"Caught {type(error).__name__} in DataLoader worker") as e:
        next(iter(pairs))
    assert not isinstance(e.value, WorkerError)


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_every_death_is_named(how: str) -> None:
    """Oracle: PyTorch reports deaths in two ways, by its queue and by its signal handler."""
    pairs = PairsAhead(rows(32), None, Dies(how), batch_size=8, num_workers=1)
    with pytest.raises(WorkerError, match="a worker that pairs noise with data died"):
        next(iter(pairs))


@pytest.mark.parametrize("error", [ConnectionRefusedError("port 5000"), TrackingError("no store")])
def test_a_lost_connection_elsewhere_is_no_death(error: Exception) -> None:
    """Oracle: the error of the loop itself, which lost a tracking store, comes out as it is."""
    with pytest.raises(type(error)), ahead(num_workers=1).naming_dead_workers():
        raise error


def test_a_coupling_may_be_named() -> None:
    """Oracle: the coupling itself."""
    named = PairsAhead(rows(32), None, "ot", batch_size=8)  # type: ignore[arg-type]
    part = PairsAhead(rows(32), None, REGISTRY.create("ot"), batch_size=8)
    assert torch.equal(next(iter(named)).z0, next(iter(part)).z0)


def test_a_larger_ot_batch_lowers_the_cost() -> None:
    """Oracle: transport among more rows is cheaper."""
    small, large = ahead(ot_batch=8), ahead(ot_batch=96)
    costs = [torch.cat([(b.z0 - b.z1).square().sum(1) for b in p]).mean() for p in (small, large)]
    assert costs[1] < costs[0]


def test_ranks_take_other_rows() -> None:
    """Oracle: no row of the data set on both ranks, other noise on each."""
    one, two = (list(ahead(ot_batch=16, rank=r, world_size=2)) for r in (0, 1))
    first, second = (torch.cat([batch.z1 for batch in part]) for part in (one, two))
    assert not bool((first[:, None] == second[None]).all(2).any())
    assert not torch.equal(one[0].z0, two[0].z0)


def test_two_processes_give_the_pairs_of_one(tmp_path: Path) -> None:
    """Oracle: one process with twice the batch, over gloo."""
    script = Path(__file__).with_name("gathering.py")
    running = [
        subprocess.Popen([sys.executable, str(script), str(rank), str(tmp_path)]) for rank in (0, 1)
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    whole = REGISTRY.create("ot").pair(rows(16, 0), rows(16, 1), torch.arange(16) % 3)
    for end, expected in enumerate((whole.z0, whole.z1)):
        assert torch.equal(torch.cat([part["online"][end] for part in parts]), expected)
    alone = PairsAhead(
        rows(64, 2), torch.arange(64) % 3, REGISTRY.create("ot"), batch_size=16, seed=5
    )
    for batch, left, right in zip(alone, parts[0]["ahead"], parts[1]["ahead"], strict=True):
        assert torch.equal(batch.z0, torch.cat([left[0], right[0]]))
        assert torch.equal(batch.z1, torch.cat([left[1], right[1]]))


def test_without_a_process_group_nothing_is_gathered() -> None:
    """Oracle: the inner coupling itself."""
    z0, z1 = rows(6, 0), rows(6, 1)
    inner = REGISTRY.create("ot")
    assert torch.equal(Gathered(inner).pair(z0, z1).z0, inner.pair(z0, z1).z0)
    assert Gathered().is_independent


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 5}, "ot_batch is a multiple of batch_size; got 32 and 5"),
        ({"rank": 2, "world_size": 2}, "rank is in 0..1; got 2"),
        ({"seed": -1}, "seed is a whole number, 0 or more; got -1"),
        ({"seed": 0.5}, "seed is a whole number, 0 or more; got 0.5"),
        ({"num_workers": -1}, "num_workers is a whole number, 0 or more; got -1"),
        ({"ot_batch": 200}, "100 rows are fewer than one OT batch of 200"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, int], text: str) -> None:
    """Oracle: the errors' texts."""
    with pytest.raises(InvalidInputError, match=text):
        ahead(**options)


def test_labels_that_do_not_fit_are_refused_when_made() -> None:
    """Oracle: the errors' texts."""
    part = Independent()
    with pytest.raises(InvalidInputError, match=r"label has shape \(7,\), expected \(32,\)"):
        PairsAhead(rows(32), torch.arange(7), part, batch_size=8)
    with pytest.raises(InvalidTypeError, match="label is an integer tensor"):
        PairsAhead(rows(32), torch.zeros(32), part, batch_size=8)
    with pytest.raises(UnknownNameError, match="'otto'"):
        PairsAhead(rows(32), None, "otto", batch_size=8)  # type: ignore[arg-type]


def test_weights_come_along() -> None:
    """Oracle: mean weight one over an OT batch, and none for couplings without."""
    pairs = PairsAhead(rows(32), None, REGISTRY.create("gibbs-weighted"), batch_size=32)
    batch = next(iter(pairs))
    assert batch.weight is not None
    assert float(batch.weight.mean()) == pytest.approx(1.0)
    assert next(iter(PairsAhead(rows(8), None, Independent(), batch_size=4))).weight is None
