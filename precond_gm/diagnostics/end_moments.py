"""Moments of the two ends of the path, per label: all that Sigma_t at every t is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from precond_gm.diagnostics.ends import Ends
from precond_gm.numerics.covariance import EndCovariance
from precond_gm.numerics.moments import Moments
from precond_gm.numerics.rows import flatten

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["UNLABELLED", "EndMoments"]

UNLABELLED = -1


@dataclass(frozen=True)
class EndMoments:
    """Moments of z1, or of the concatenated rows (z0, z1), within each label.

    Attributes:
        per_label: Moments of each label; all rows are under ``UNLABELLED`` when there is none.
        is_joint: Whether z0 is part of the rows.
        source: Covariance of the source where it is known apart from the rows, else None.
        is_standard: Whether the source is N(0, I) within every label.
    """

    per_label: dict[int, Moments]
    is_joint: bool = False
    source: Tensor | None = None
    is_standard: bool = True

    @classmethod
    def of(cls, ends: Ends) -> EndMoments:
        """Gather the moments in one pass over the stream."""
        total: dict[int, Moments] = {}
        for pair in ends:
            rows = torch.cat((pair.z0, pair.z1), 1) if ends.is_paired else pair.z1
            if pair.label is None:
                parts = {UNLABELLED: Moments.of(rows, pair.weight)}
            else:
                parts = Moments.by_group(rows, pair.label, pair.weight)
            for label, part in parts.items():
                total[label] = total[label].merge(part) if label in total else part
        coupling, source = ends.coupling, None
        if ends.source is not None and not ends.is_paired:
            source = Moments.of(flatten(ends.source)).covariance
        keeps = coupling is None or (coupling.keeps_marginals and coupling.label_aware)
        return cls(total, ends.is_paired, source, ends.source is None and keeps)

    @property
    def pooled(self) -> Moments:
        """Moments of all rows."""
        return reduce(Moments.merge, self.per_label.values())

    @property
    def within(self) -> Moments:
        """Moments of the rows centred on their own label's mean: the scatter within labels."""
        centred = (replace(m, mean=torch.zeros_like(m.mean)) for m in self.per_label.values())
        return reduce(Moments.merge, centred)

    def merge(self, other: EndMoments) -> EndMoments:
        """Return the moments of both sets of rows, in any order."""
        merged = dict(self.per_label)
        for label, part in other.per_label.items():
            merged[label] = merged[label].merge(part) if label in merged else part
        return replace(self, per_label=merged)

    def all_reduce(self, num_labels: int | None, group: ProcessGroup | None = None) -> EndMoments:
        """Return the moments of the rows of all processes; every process must call it.

        Args:
            num_labels: Number of labels, so that a process that never saw one takes part too;
                None without labels.
            group: Process group.
        """
        like = next(iter(self.per_label.values())).mean
        names = [UNLABELLED] if num_labels is None else list(range(num_labels))
        found = {
            name: self.per_label.get(name, Moments.empty(like.shape[0], like.device)).all_reduce(
                group
            )
            for name in names
        }
        return replace(self, per_label={k: m for k, m in found.items() if m.count})

    def covariance(self, rows: Moments) -> EndCovariance:
        """Return the covariance blocks of rows of this kind."""
        if self.is_joint:
            return EndCovariance.of_pairs(rows, match_source=self.is_standard)
        return EndCovariance(rows.covariance, self.source)
