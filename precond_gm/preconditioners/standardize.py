"""Zero mean and unit variance of each feature."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from precond_gm.numerics.variances import Variances
from precond_gm.options import check_share
from precond_gm.preconditioners.affine import AbstractAffine
from precond_gm.preconditioners.laws import check_spread
from precond_gm.preconditioners.operators import Diagonal

__all__ = ["Standardize", "deviations"]


@final
class Standardize(AbstractAffine[Variances]):
    r"""Scale every feature to mean 0 and variance 1, for each label.

    It removes units, not correlation: ``z = (x - mean) / deviation``. Cost: O(d) both ways.

    Conditioning: unequal units vanish; correlation stays.

    Args:
        shared: Use one map for all labels.
        floor: Smallest variance, relative to the largest of the label, that a feature is scaled
            by; constant features are scaled by it, and the report says how many there are.

    Example:
        >>> import torch
        >>> from precond_gm.preconditioners import Standardize
        >>> x = torch.randn(1000, 2) * torch.tensor([1e-2, 1e2])
        >>> report = Standardize().fit(x)
        >>> report.condition_before > 1e6, report.condition_after < 2
        (True, True)
    """

    def __init__(self, shared: bool = False, floor: float = 1e-10) -> None:
        super().__init__(shared)
        self.floor = floor
        check_share(self, "floor")

    def make_operator(self, labels: int, blocks: int, size: int) -> Diagonal:
        """Allocate the operator."""
        return Diagonal(labels, blocks, size, blocks)

    def measure(self, blocks: Tensor) -> Variances:
        """Return means and variances."""
        return Variances.of(blocks)

    def solve(self, laws: list[Variances | None], choice: Any, like: Tensor) -> tuple[str, ...]:
        """Fill the operator."""
        mean, deviation, notes = deviations(laws, self.floor)
        self.operator.set(like, mean=mean, scale=1 / deviation)
        return notes


def deviations(
    laws: list[Variances | None], floor: float
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Return each label's mean and deviations (``L blocks k``), floored, and a note."""
    there = [law for law in laws if law is not None]
    count = sum(law.count for law in there)
    common = torch.stack([law.scatter for law in there]).sum(0) / count
    centre = torch.stack([law.mean * (law.count / count) for law in there]).sum(0)
    check_spread(common, [law.count for law in there])
    notes: list[str] = []
    poor = [index for index, law in enumerate(laws) if law is None or law.count < 2]
    if poor:
        notes.append(f"labels {poor} have fewer than 2 rows: they use the law pooled over labels")
    mean = torch.stack([centre if law is None or law.count < 2 else law.mean for law in laws])
    variance = torch.stack(
        [common if law is None or law.count < 2 else law.variance for law in laws]
    )
    largest = variance.amax((1, 2), keepdim=True)
    lowest = floor * torch.where(largest > 0, largest, common.amax())
    low = int((variance < lowest).sum())
    if low:
        notes.append(
            f"{low} of {variance.numel()} variances are below {floor:g} of their label's largest "
            f"and are raised to that (constant features stay as narrow as they are)"
        )
    return mean, torch.maximum(variance, lowest).sqrt(), tuple(notes)
