"""Moments of the two ends of the path, per label: all that Sigma_t at every t is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from precond_gm.couplings.base import AbstractCoupling
from precond_gm.diagnostics.ends import Ends
from precond_gm.numerics.covariance import EndCovariance
from precond_gm.numerics.moments import MomentGathering, Moments, grouped
from precond_gm.numerics.rows import flatten
from precond_gm.values import Pairing

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["UNLABELLED", "EndMoments", "Halves", "keyed"]

UNLABELLED = -1
Halves: TypeAlias = "tuple[Moments, Moments]"


@dataclass(frozen=True)
class EndMoments:
    """Moments of z1, or of the concatenated rows (z0, z1), within each label.

    Every other row of a label goes to the second half: what one half chooses is judged on the
    other, and both together are the moments of all rows.

    Attributes:
        halves: Moments of both halves of each label; all rows are under ``UNLABELLED`` when there
            is none.
        is_joint: Whether z0 is part of the rows.
        source: Covariance of the source where it is known apart from the rows, else None.
        is_standard: Whether the source is N(0, I) within every label.
    """

    halves: dict[int, Halves]
    is_joint: bool = False
    source: Tensor | None = None
    is_standard: bool = True

    @classmethod
    def of(cls, ends: Ends) -> EndMoments:
        """Gather the moments in one pass over the stream."""
        source = None
        if ends.source is not None and not ends.is_paired:
            source = Moments.of(flatten(ends.source)).covariance
        keeps = ends.coupling is None or keeps_source(ends.coupling)
        is_standard = ends.source is None and keeps
        halves = gathered(ends, is_joint=ends.is_paired)
        return cls(halves, ends.is_paired, source, is_standard)

    @classmethod
    def of_pairing(cls, pairing: Pairing, coupling: AbstractCoupling) -> EndMoments:
        """Gather the moments of pairs at hand, with N(0, I) noise."""
        is_joint = not coupling.is_independent
        flat = replace(pairing, z0=flatten(pairing.z0), z1=flatten(pairing.z1))
        halves = gathered([flat], is_joint=is_joint)
        return cls(halves, is_joint, None, keeps_source(coupling))

    def half(self, index: int) -> EndMoments:
        """Return the moments of one half alone."""
        halves = {
            label: (pair[index], Moments.empty(pair[index].dim, self.device))
            for label, pair in self.halves.items()
            if pair[index].count
        }
        return replace(self, halves=halves)

    @property
    def device(self) -> torch.device:
        """Device of the moments."""
        return next(iter(self.halves.values()))[0].mean.device

    @property
    def is_finite(self) -> bool:
        """Whether no row held NaN or infinity."""
        # A row with NaN or infinity makes the mean so.
        return all(
            bool(half.mean.isfinite().all()) for pair in self.halves.values() for half in pair
        )

    def rows_of(self, label: int) -> Moments:
        """Return the moments of all rows of a label."""
        first, second = self.halves[label]
        return first.merge(second)

    def covariance(self, rows: Moments) -> EndCovariance:
        """Return the covariance blocks of rows of this kind."""
        if self.is_joint:
            return EndCovariance.of_pairs(rows, match_source=self.is_standard)
        return EndCovariance(rows.covariance, self.source)

    @property
    def pooled(self) -> Halves:
        """Moments of both halves of all rows."""
        first, second = zip(*self.halves.values(), strict=True)
        return first[0].merge(*first[1:]), second[0].merge(*second[1:])

    @property
    def within(self) -> Moments:
        """Moments of the rows, each centred on its own label's mean."""
        return Moments.within(self.rows_of(label) for label in self.halves)

    @property
    def between(self) -> EndCovariance:
        """Covariance blocks if every row of data sat at the mean of its own label.

        The source is that of all rows, in full: it is the data alone that are reduced to means.
        """
        rows = Moments.between(self.rows_of(label) for label in self.halves)
        if not self.is_joint:
            return EndCovariance(rows.covariance, self.source)
        dim, blocks = rows.dim // 2, rows.covariance
        if self.is_standard:  # the source is N(0, I) within every label: it has no part in means
            return EndCovariance(blocks[dim:, dim:])
        first, second = self.pooled
        source = first.merge(second).covariance[:dim, :dim]
        return EndCovariance(blocks[dim:, dim:], source, blocks[:dim, dim:])

    def merge(self, other: EndMoments) -> EndMoments:
        """Return the moments of both sets of rows, in any order.

        In the order of the stream, parts merge to the halves of one pass over the whole.
        """
        merged = dict(self.halves)
        for label, theirs in other.halves.items():
            if label not in merged:
                merged[label] = theirs
                continue
            first, second = merged[label]
            turn = int(first.count > second.count)  # 1: the next row is the second half's
            merged[label] = (first.merge(theirs[turn]), second.merge(theirs[1 - turn]))
        return replace(self, halves=merged)

    def all_reduce(self, num_labels: int | None, group: ProcessGroup | None = None) -> EndMoments:
        """Return the moments of the rows of all processes; every process must call it.

        Args:
            num_labels: Number of labels, so that a process that never saw one takes part too;
                None without labels.
            group: Process group.
        """
        like = next(iter(self.halves.values()))[0].mean
        nothing = Moments.empty(like.shape[0], like.device)
        names = [UNLABELLED] if num_labels is None else list(range(num_labels))
        found = {}
        for name in names:
            first, second = self.halves.get(name, (nothing, nothing))
            halves = first.all_reduce(group), second.all_reduce(group)
            if halves[0].count or halves[1].count:
                found[name] = halves
        return replace(self, halves=found)


def keeps_source(coupling: AbstractCoupling) -> bool:
    """Whether the coupling leaves the source as it is within every label."""
    return coupling.keeps_marginals and coupling.label_aware


def gathered(pairs: Iterable[Pairing], *, is_joint: bool) -> dict[int, Halves]:
    """Return the moments of both halves of each label."""
    found: dict[int, MomentGathering] = {}
    for name, rows, weight in keyed(pairs, is_joint=is_joint):
        if name not in found:
            found[name] = MomentGathering(rows.shape[1], rows.device)
        found[name].add(rows, weight)
    return _by_label({name: found.pop(name).moments() for name in list(found)})


def keyed(
    pairs: Iterable[Pairing], *, is_joint: bool
) -> Iterator[tuple[int, Tensor, Tensor | None]]:
    """Yield the key ``2 label + half``, the flat rows that have it, and their weights.

    The rows of a label go to its two halves by turns, from batch to batch: labels may alternate.
    """
    seen: dict[int, int] = {}
    for pair in pairs:
        joint = torch.cat((pair.z0, pair.z1), 1) if is_joint else pair.z1
        label = pair.label
        if label is None:
            label = torch.full((joint.shape[0],), UNLABELLED, device=joint.device)
        for name, rows, weight in grouped(joint, label, pair.weight):
            turn = seen.get(name, 0)
            seen[name] = turn + rows.shape[0]
            for half in (0, 1):
                part = slice((turn + half) % 2, None, 2)
                if rows[part].shape[0]:
                    yield 2 * name + half, rows[part], None if weight is None else weight[part]


def _by_label(parts: dict[int, Moments]) -> dict[int, Halves]:
    """Turn keys ``2 label + half`` into pairs of halves."""
    like = next(iter(parts.values())).mean
    nothing = Moments.empty(like.shape[0], like.device)
    return {
        key // 2: (parts.get(key // 2 * 2, nothing), parts.get(key // 2 * 2 + 1, nothing))
        for key in sorted(parts)
    }
