r"""Whitening of blocks: shared by every map that makes a covariance I, whatever its layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.numerics.blocks import BlockMoments
from precond_gm.numerics.rows import batches
from precond_gm.options import check_share
from precond_gm.preconditioners.affine import AbstractAffine
from precond_gm.preconditioners.gathering import Gathered
from precond_gm.preconditioners.laws import (
    complete,
    factors,
    ledoit_wolf,
    log_likelihood,
    pooled,
)
from precond_gm.preconditioners.operators import AbstractOperator, Rotated

__all__ = ["AbstractWhitening", "Estimate", "Form", "Shrinkage"]

Form: TypeAlias = Literal["zca", "pca"]
Shrinkage: TypeAlias = Literal["auto", "none", "ledoit-wolf", "pooled"]
Estimate: TypeAlias = Callable[[BlockMoments, BlockMoments], tuple[Tensor, Tensor]]
SHARES = (0.05, 0.2, 0.5, 1.0)  # of the pooled covariance, tried on held-out rows
MAX_NUMBERS = 2**28  # of all matrices together: 2 GiB in float64


class AbstractWhitening(AbstractAffine[BlockMoments]):
    """Whiten every block of a layout, for each label.

    Args:
        form: ``zca`` or ``pca``.
        shared: Use one map for all labels.
        shrinkage: How a label's covariance is estimated.
        floor: Smallest eigenvalue, relative to the label's largest, that a direction is scaled by.

    Attributes:
        common: Whether all blocks share one covariance.
    """

    common: bool = False

    def __init__(self, form: Form, shared: bool, shrinkage: Shrinkage, floor: float) -> None:
        super().__init__(shared)
        for name, value, allowed in (
            ("form", form, ("zca", "pca")),
            ("shrinkage", shrinkage, ("auto", "none", "ledoit-wolf", "pooled")),
        ):
            if value not in allowed:
                raise InvalidInputError(f"{name} is one of {', '.join(allowed)}; got {value!r}.")
        self.form = form
        self.shrinkage = shrinkage
        self.floor = floor
        check_share(self, "floor")

    def make_operator(self, labels: int, blocks: int, size: int) -> AbstractOperator:
        """Allocate the operator."""
        scales = 1 if self.common else blocks
        self._check_size(labels, scales, size)
        return Rotated(labels, blocks, size, scales, back=self.form == "zca")

    def measure(self, blocks: Tensor) -> BlockMoments:
        """Return the moments of blocks."""
        self._check_size(1, 1 if self.common else blocks.shape[1], blocks.shape[2])
        return BlockMoments.of(blocks, common=self.common)

    def choose(self, data: Gathered[BlockMoments]) -> tuple[str, Estimate]:
        """Return the estimate with the best held-out likelihood, among those allowed."""
        laws, _ = complete(data.fitted)
        common = pooled(data.fitted)
        candidates = {
            name: estimate
            for name, estimate in self._candidates(data).items()
            if self.shrinkage in ("auto", name.split(" ")[0])
        }
        # A label with no more rows than features has a singular covariance of its own, and often
        # no held-out row that would show it.
        if self.shrinkage == "auto" and any(
            law.count * law.repeats <= law.mean.shape[1] for law in laws
        ):
            candidates.pop("none", None)
        if not candidates:
            raise InvalidInputError(
                f"shrinkage={self.shrinkage!r} leans on the covariance of all labels, and there "
                f"is one law here: no labels were given, or one, or shared=True. Give labels, or "
                f"use shrinkage='ledoit-wolf' or 'auto'."
            )
        if len(candidates) == 1:
            return next(iter(candidates.items()))

        def score(estimate: Estimate) -> float:
            return sum(
                log_likelihood(held, *estimate(law, common), self.floor)
                for law, held in zip(laws, data.held, strict=True)
                if held is not None
            )

        return max(candidates.items(), key=lambda item: score(item[1]))

    def solve(self, laws: list[BlockMoments | None], choice: Any, like: Tensor) -> tuple[str, ...]:
        """Fill the operator."""
        name, estimate = choice
        common = pooled(laws)
        there, notes = complete(laws)
        means, covariances = zip(*(estimate(law, common) for law in there), strict=True)
        scale, vectors, low = factors(torch.stack(covariances), common.covariance, self.floor)
        self._fill(torch.stack(means), scale, vectors, like)
        return (f"shrinkage: {name}", *notes, *low)

    def _fill(self, mean: Tensor, scale: Tensor, vectors: Tensor, like: Tensor) -> None:
        values = {"mean": mean, "scale": scale, "turn": vectors.mT}
        if self.form == "zca":
            values["turn_back"] = vectors
        self.operator.set(like, **values)

    def _candidates(self, data: Gathered[BlockMoments]) -> dict[str, Estimate]:
        fourth = self._fourth_moments(data)
        found: dict[str, Estimate] = {
            "none": lambda law, common: (law.mean, law.covariance),
            "ledoit-wolf": lambda law, common: (law.mean, ledoit_wolf(law, fourth)),
        }
        if len(data.fitted) > 1:
            found |= {f"pooled {share:g}": _towards_pooled(share) for share in SHARES}
        return found

    def _fourth_moments(self, data: Gathered[BlockMoments]) -> Tensor:
        """Return the mean of ``|u|^4`` for each covariance, u standardised within labels."""
        laws, _ = complete(data.fitted)
        variance = torch.stack([law.covariance.diagonal(dim1=-2, dim2=-1) for law in laws])
        safe = torch.where(variance > 0, variance, 1.0)
        mean = torch.stack([law.mean for law in laws])
        lengths = []
        for batch in batches(data.rows.x, data.rows.label):  # float64 copies of a few rows at once
            rows = self.arrange(batch.x.to(torch.float64))
            own = 0 if batch.label is None or len(laws) == 1 else batch.label
            lengths.append(((rows - mean[own]).square() / safe[own]).sum(2).square())
        length = torch.cat(lengths)
        return length.mean().reshape(1) if self.common else length.mean(0)

    def _check_size(self, labels: int, scales: int, size: int) -> None:
        numbers = labels * scales * size * size
        if numbers > MAX_NUMBERS:
            raise InvalidInputError(
                f"a covariance of {size} features, {labels * scales} times, holds {numbers:.3g} "
                f"numbers, more than {MAX_NUMBERS:.3g}. Use 'spectral' or 'patch' for images, "
                f"'low-rank' otherwise, or shared=True."
            )


def _towards_pooled(share: float) -> Estimate:
    return lambda law, common: (law.mean, torch.lerp(law.covariance, common.covariance, share))
