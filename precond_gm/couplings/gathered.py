"""One coupling over the rows of all processes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
import torch.distributed as dist
from torch import Tensor

from precond_gm.couplings.around import AbstractAround
from precond_gm.couplings.within_label import check_pair
from precond_gm.values import Pairing

__all__ = ["Gathered"]


@final
@dataclass(frozen=True)
class Gathered(AbstractAround):
    """Pair the rows of all processes as one batch, on rank 0, and give each process its part.

    A batch of 256 on each of 8 processes is then paired like one of 2,048. Every process must call
    ``pair`` with the same number of rows; the generator of rank 0 decides. Without an initialised
    process group the inner coupling is used as it is. To keep the solver out of the training step,
    use ``PairsAhead(..., gather=True)`` instead.

    Args:
        inner: The coupling, or a name for one.

    Example:
        >>> Gathered("ot").pair(torch.zeros(2, 1), torch.ones(2, 1)).z0.shape
        torch.Size([2, 1])
    """

    @property
    def label_aware(self) -> bool:
        """Whether the inner coupling is."""
        return self.inner.label_aware

    @torch.no_grad()
    def pair(
        self,
        z0: Tensor,
        z1: Tensor,
        label: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Pairing:
        """Pair over all processes; this one's rows come back."""
        check_pair(z0, z1, label)
        if not (dist.is_available() and dist.is_initialized()):
            return self.inner.pair(z0, z1, label, generator=generator)
        all0, all1 = _gather(z0), _gather(z1)
        labels = None if label is None else _gather(label)
        whole = Pairing(all0, all1, labels, all1.new_ones(len(all1)))
        if dist.get_rank() == 0:
            found = self.inner.pair(all0, all1, labels, generator=generator)
            whole = found if found.weight is not None else replace(found, weight=whole.weight)
        start = dist.get_rank() * len(z1)

        def part(rows: Tensor) -> Tensor:
            return _broadcast(rows)[start : start + len(z1)]

        return Pairing(
            part(whole.z0),
            part(whole.z1),
            None if whole.label is None else part(whole.label),
            None if self.inner.keeps_marginals or whole.weight is None else part(whole.weight),
        )


def _gather(rows: Tensor) -> Tensor:
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def _broadcast(rows: Tensor) -> Tensor:
    rows = rows.contiguous()
    dist.broadcast(rows, src=0)
    return rows
