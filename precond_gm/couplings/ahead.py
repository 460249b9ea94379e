"""Pairs made ahead of time, in the workers of PyTorch's own DataLoader.

While the network trains on one batch, workers pair the next ones, so that an exact coupling costs
the training step nothing as long as there are cores for it.
"""

from __future__ import annotations

import itertools
import pickle
import traceback
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from precond_gm.couplings.base import AbstractCoupling
from precond_gm.errors import InvalidInputError, PrecondError, WorkerError
from precond_gm.numerics.noise import standard_normal
from precond_gm.numerics.rows import check_label
from precond_gm.values import Pairing

__all__ = ["PairsAhead"]


@dataclass
class PairsAhead:
    """One epoch of pairs after another: iterate over it for batches that ``flow.loss`` takes.

    Every epoch shuffles the rows; what is left after the last full OT batch is not used in that
    epoch. Noise, shuffle and pairing come from ``(seed, epoch, batch)`` alone, so any number of
    workers gives the same pairs, and a loop that stopped goes on with ``batches_from(step)``.

    Args:
        z1: Data in preconditioned coordinates (``flow.precondition``), on the CPU.
        label: Integer labels, or None.
        coupling: Pairs the rows; fitted already, if it needs it. A name or ``(name, options)`` is
            resolved.
        batch_size: Rows of a training batch on this rank.
        ot_batch: Rows that are paired at once, a multiple of ``batch_size``; the same by default. A
            larger one has less bias and costs no memory of the network's.
        seed: Seed of everything random, 0 or more.
        num_workers: Worker processes; 0 pairs in this process.
        rank: Rank of this process among those that share an epoch.
        world_size: How many share it. Each takes other rows of the same shuffle.
        gather: Whether the OT batches of all ranks are paired as one. Every rank pairs them (in its
            workers, without communication) and keeps its part, so two ranks give the pairs of one
            with twice the batch, step by step.
        pin_memory: Whether to pin batches for an asynchronous copy to a GPU.
        epoch: Number of the next epoch.

    Raises:
        InvalidInputError: Sizes that do not fit together, or an option out of range.
        InvalidTypeError: Labels that are not integers, or no coupling.
        WorkerError: A worker died (while iterating). What the coupling raises in a worker comes
            out as it does without workers.

    Example:
        >>> from precond_gm.couplings import Independent
        >>> pairs = PairsAhead(torch.zeros(10, 2), None, Independent(), batch_size=2, ot_batch=4)
        >>> [batch.z1.shape[0] for batch in pairs]
        [2, 2, 2, 2]

        In a loop of one's own, four workers pairing 4,096 rows at once::

            z1 = flow.precondition(x, label)  # once
            pairs = PairsAhead(z1, label, flow.coupling, 256, ot_batch=4096, num_workers=4)
            for epoch in range(epochs):
                for pair in pairs:
                    flow.loss(pair, preconditioned=True).total.backward()
                    optimiser.step()
                    optimiser.zero_grad()
    """

    z1: Tensor
    label: Tensor | None
    coupling: AbstractCoupling
    batch_size: int
    ot_batch: int | None = None
    seed: int = 0
    num_workers: int = 0
    rank: int = 0
    world_size: int = 1
    gather: bool = False
    pin_memory: bool = False
    epoch: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        from precond_gm.couplings import REGISTRY

        self.coupling = REGISTRY.resolve(self.coupling)
        check_label(self.label, self.z1.shape[0])
        for name in ("seed", "num_workers", "epoch"):
            value: Any = getattr(self, name)
            if not isinstance(value, Integral) or int(value) < 0:
                raise InvalidInputError(f"{name} is a whole number, 0 or more; got {value!r}.")
        rows = self.rows_at_once
        if self.batch_size < 1 or rows % self.batch_size:
            raise InvalidInputError(
                f"ot_batch is a multiple of batch_size; got {rows} and {self.batch_size}."
            )
        if not 0 <= self.rank < self.world_size:
            raise InvalidInputError(
                f"rank is in 0..{self.world_size - 1}; got {self.rank}. Pass world_size as well."
            )
        if rows * self.world_size > self.z1.shape[0]:
            raise InvalidInputError(
                f"{self.z1.shape[0]} rows are fewer than one OT batch of {rows} on each of "
                f"{self.world_size} ranks. Use a smaller ot_batch."
            )

    @property
    def rows_at_once(self) -> int:
        """Rows that this rank pairs, or keeps, at once."""
        return self.ot_batch or self.batch_size

    def __len__(self) -> int:
        """Return the number of training batches in an epoch on this rank."""
        return self._num_ot_batches * (self.rows_at_once // self.batch_size)

    def __iter__(self) -> Iterator[Pairing]:
        """Yield the training batches of one epoch, and count it."""
        first = self.epoch * self._num_ot_batches
        self.epoch += 1
        yield from self._batches(range(first, first + self._num_ot_batches))

    def batches_from(self, step: int) -> Generator[Pairing, None, None]:
        """Yield the batches of all training steps from ``step`` on, epoch after epoch, for ever.

        Batch k depends on the seed and on k only, so a loop that stopped before step k goes on
        with ``batches_from(k)``. The workers live as long as the iterator.

        Example:
            >>> from precond_gm.couplings import Independent
            >>> pairs = PairsAhead(torch.zeros(10, 2), None, Independent(), batch_size=2)
            >>> every = pairs.batches_from(0)
            >>> batches = [next(every) for step in range(8)]
            >>> torch.equal(next(pairs.batches_from(7)).z0, batches[7].z0)
            True
        """
        first, inside = divmod(step, self.rows_at_once // self.batch_size)
        yield from itertools.islice(self._batches(itertools.count(first)), inside, None)

    @contextmanager
    def naming_dead_workers(self) -> Iterator[None]:
        """Turn a worker's death into an error that says what to do.

        PyTorch raises wherever the training loop happens to be when the worker dies; hold the loop
        inside this context. Where that was writes a checkpoint, say, it comes out as another error.

        Raises:
            WorkerError: A worker died.
        """
        try:
            yield
        except WorkerError:
            raise
        except Exception as error:
            death = _death(error)
            if death is None or not self.num_workers:
                raise
            raise WorkerError(
                f"a worker that pairs noise with data died ({death}). It was killed, for lack of "
                f"memory most often: use a smaller ot_batch than {self.rows_at_once} or fewer than "
                f"{self.num_workers} workers, or none to see its own error."
            ) from error

    def _batches(self, numbers: Iterable[int]) -> Iterator[Pairing]:
        """Yield the training batches of OT batches, counted over all epochs."""
        loader: DataLoader[dict[str, Tensor] | PrecondError] = DataLoader(
            _OtBatches(self),
            batch_size=None,
            sampler=numbers,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            generator=torch.Generator(),  # or each loader would draw from the global one
        )
        ot_batches: Any = iter(loader)
        try:
            with self.naming_dead_workers():
                for rows in ot_batches:
                    if isinstance(rows, PrecondError):
                        raise rows
                    for start in range(0, self.rows_at_once, self.batch_size):
                        part = slice(start, start + self.batch_size)
                        yield Pairing(**{name: value[part] for name, value in rows.items()})
        finally:
            # PyTorch watches a dead worker until its loader has gone, and would raise once more
            # wherever the program is when any child ends; a traceback may hold the loader for long.
            if self.num_workers:
                ot_batches._shutdown_workers()

    @property
    def _num_ot_batches(self) -> int:
        return self.z1.shape[0] // (self.rows_at_once * self.world_size)

    def _pairs(self, epoch: int, index: int) -> dict[str, Tensor]:
        """Return this rank's rows of OT batch ``index`` of an epoch."""
        shuffle = torch.Generator().manual_seed(_mixed(self.seed, epoch))
        order = torch.randperm(self.z1.shape[0], generator=shuffle)
        size = self.rows_at_once * self.world_size
        everyone = order[index * size :][:size]
        # Each training batch of all ranks is one stretch of the shuffle, cut into a part for each.
        mine = torch.arange(size).view(-1, self.world_size, self.batch_size)[:, self.rank].flatten()
        rows = everyone if self.gather else everyone[mine]
        stream = 0 if self.gather else self.rank
        draw = torch.Generator().manual_seed(_mixed(self.seed, epoch, index, stream))
        z1 = self.z1[rows]
        label = None if self.label is None else self.label[rows]
        pairing = self.coupling.pair(standard_normal(z1, draw), z1, label, generator=draw)
        found: dict[str, Any] = vars(pairing)
        kept = mine if self.gather else slice(None)
        return {name: value[kept] for name, value in found.items() if value is not None}


class _OtBatches(Dataset[dict[str, Tensor] | PrecondError]):
    """OT batches, counted over all epochs, as the loader asks for them."""

    def __init__(self, pairs: PairsAhead) -> None:
        self.pairs = pairs

    def __getitem__(self, number: int) -> dict[str, Tensor] | PrecondError:
        try:
            return self.pairs._pairs(*divmod(number, self.pairs._num_ot_batches))
        except PrecondError as error:
            # Returned, since PyTorch puts a traceback before the message of what workers raise.
            if get_worker_info() is None or not _can_travel(error):
                raise
            return error


def _can_travel(error: Exception) -> bool:
    """Whether an error can be sent to another process; one that cannot would hang the queue."""
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:
        return False


def _death(error: BaseException | None) -> BaseException | None:
    """Return what tells of a dead worker among an error and its causes.

    Either PyTorch says so in the words of its signal handler or its queue (it names the worker in
    what workers raise as well), or the connection to the worker broke while rows came through it.
    """
    while error is not None:
        text = str(error)
        if text.startswith("DataLoader worker (pid") and (
            "is killed by signal" in text or "exited unexpectedly" in text
        ):
            return error
        if isinstance(error, ConnectionError | EOFError) and _came_through_a_queue(error):
            return error
        error = error.__cause__ or error.__context__
    return None


def _came_through_a_queue(error: BaseException) -> bool:
    """Whether an error was raised by Python's multiprocessing, and not by a tracking store, say."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(f.f_globals.get("__name__", "").startswith("multiprocessing.") for f in frames)


def _mixed(*numbers: int) -> int:
    """Mix integers into one seed: neighbouring seeds and epochs must not share streams."""
    import numpy as np

    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
