"""Diagonal plus low rank: whitening of the directions that matter, where d x d does not fit."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from precond_gm.numerics.sketch import Sketch
from precond_gm.options import check_counts
from precond_gm.preconditioners.affine import AbstractAffine
from precond_gm.preconditioners.chain import Chain
from precond_gm.preconditioners.composite import AbstractComposite
from precond_gm.preconditioners.gathering import Gathered, merged
from precond_gm.preconditioners.leading import Leading
from precond_gm.preconditioners.standardize import Standardize

__all__ = ["LowRank"]


@final
class LowRank(AbstractComposite):
    r"""Standardise features, then whiten their leading directions, for each label.

    The covariance is taken to be ``D^(1/2) (s^2 I + V (Lambda - s^2) V^T) D^(1/2)``, with D the
    variances, V the leading ``rank`` directions of the standardised features and ``s^2`` the mean
    variance of the rest. Its inverse root is again diagonal plus low rank (Woodbury's identity, for
    the root), so

    .. math::
        z = s^{-1} (I + V (s \Lambda^{-1/2} - I) V^T) D^{-1/2} (x - \mu)

    and back costs the same, O(d rank). How many of the directions are believed is decided by
    held-out likelihood.

    Cost: O(d r) both ways with r leading directions. Conditioning: the leading directions become
    equal; what is left is scaled feature by feature.

    Args:
        rank: Directions kept, at most.
        shared: Use one map for all labels.
        floor: Smallest variance, relative to the largest, that a feature is scaled by.

    Example:
        >>> import torch
        >>> from precond_gm.preconditioners import LowRank
        >>> x = torch.randn(4000, 2) @ torch.randn(2, 20) + 0.01 * torch.randn(4000, 20)
        >>> report = LowRank(rank=4).fit(x)
        >>> report.condition_after < report.condition_before / 100
        True
    """

    tolerance = 1e-5

    def __init__(self, rank: int = 64, shared: bool = False, floor: float = 1e-10) -> None:
        super().__init__(Chain([Standardize(shared, floor), _Directions(rank, shared)]))
        self.rank = rank
        self.shared = shared
        self.floor = floor
        check_counts(self, "rank")


class _Directions(AbstractAffine[Sketch]):
    """Whiten the leading directions of standardised rows, and scale the rest alike."""

    def __init__(self, rank: int, shared: bool) -> None:
        super().__init__(shared)
        self.rank = rank

    def make_operator(self, labels: int, blocks: int, size: int) -> Leading:
        """Allocate the operator."""
        return Leading(labels, size, min(self.rank, size))

    def measure(self, blocks: Tensor) -> Sketch:
        """Return the sketch of the rows."""
        return Sketch.of(blocks[:, 0], min(self.rank, blocks.shape[2]))

    def choose(self, data: Gathered[Sketch]) -> int:
        """Return how many directions give the best held-out likelihood."""
        rows = self.arrange(data.rows.x)[:, 0]
        candidates = sorted({0, *(self.rank // 2**k for k in range(8))})
        scores = torch.zeros(len(candidates), dtype=torch.float64)
        for index, law in enumerate(data.fitted):
            if law is not None:
                own = rows if data.num_labels is None else rows[data.rows.label == index]
                scores += _scores(own.to(torch.float64), law, candidates)
        return candidates[int(scores.argmax())]

    def solve(self, laws: list[Sketch | None], choice: Any, like: Tensor) -> tuple[str, ...]:
        """Fill the operator."""
        common = merged(laws)
        assert common is not None
        there = [common if law is None or law.count < 2 else law for law in laws]
        parts = [_spectrum(law, choice) for law in there]
        self.operator.set(
            like,
            mean=torch.stack([law.mean for law in there])[:, None],
            scale=torch.stack([part[0].expand_as(there[0].mean) for part in parts])[:, None],
            **Leading.factors(
                torch.stack([part[2] for part in parts]).to(like),
                torch.stack([part[1] for part in parts]).to(like),
            ),
        )
        return (f"{choice} of {self.rank} directions believed",)


def _spectrum(law: Sketch, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``1 / s``, the stretches and the directions when ``rank`` of them are believed."""
    values, vectors, rest = law.eigenpairs(rank)
    rest = torch.where(rest > 0, rest, 1.0)
    stretch = torch.where(values > 0, (rest / values.clamp_min(1e-300)).sqrt(), 1.0)
    return rest.rsqrt(), stretch, vectors


def _scores(rows: Tensor, law: Sketch, candidates: list[int]) -> Tensor:
    """Return the Gaussian log-likelihood of rows for each number of believed directions."""
    centred = rows - law.mean
    found = []
    for rank in candidates:
        scale, stretch, turn = _spectrum(law, rank)
        along = centred @ turn.T
        square = centred.square().sum() + ((stretch.square() - 1) * along.square()).sum()
        log_det = rows.shape[1] * scale.log() + stretch.log().sum()
        found.append(rows.shape[0] * log_det - 0.5 * scale.square() * square)
    return torch.stack(found).cpu()
