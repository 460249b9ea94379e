"""Whitening of patches, and of channels: small covariances that every position shares."""

from __future__ import annotations

import math
from typing import final

from torch import Tensor

from precond_gm.errors import InvalidInputError
from precond_gm.options import check_counts
from precond_gm.preconditioners.whitening import AbstractWhitening, Form, Shrinkage

__all__ = ["Channel", "Patch"]


class _Patches(AbstractWhitening):
    """Cut all axes after the first into patches of one size."""

    common = True
    size: int

    def arrange(self, x: Tensor) -> Tensor:
        """Return blocks = patches, k = channels times the patch's pixels."""
        x = x if x.ndim > 2 else x[:, None]
        spatial = x.shape[2:]
        if any(length % self.size for length in spatial):
            divisors = [s for s in range(1, min(spatial) + 1) if not any(n % s for n in spatial)]
            raise InvalidInputError(
                f"patches of size {self.size} do not tile rows of shape {tuple(x.shape[1:])}. "
                f"Use one of the sizes {divisors}."
            )
        split = [part for length in spatial for part in (length // self.size, self.size)]
        x = x.reshape(*x.shape[:2], *split)
        outer = list(range(2, x.ndim, 2))
        inner = list(range(3, x.ndim, 2))
        x = x.permute(0, *outer, 1, *inner)
        return x.reshape(x.shape[0], math.prod(s // self.size for s in spatial), -1)

    def restore(self, blocks: Tensor) -> Tensor:
        """Undo ``arrange``."""
        assert self.event_shape is not None
        shape = self.event_shape if len(self.event_shape) > 1 else (1, *self.event_shape)
        spatial = shape[1:]
        axes = len(spatial)
        counts = [length // self.size for length in spatial]
        x = blocks.reshape(blocks.shape[0], *counts, shape[0], *[self.size] * axes)
        order = [axis for pair in range(axes) for axis in (1 + pair, 2 + axes + pair)]
        return x.permute(0, 1 + axes, *order).reshape(blocks.shape[0], *self.event_shape)


@final
class Patch(_Patches):
    """Whiten patches of an image by one covariance for all positions, for each label.

    It removes correlation within a patch and between channels, at every position alike; what
    crosses the patches' borders stays. Each pixel keeps a mean of its own. Rows of one axis are one
    channel. Cost: O(d c p^2) both ways with c channels and p pixels a side.

    Conditioning: 1 within a patch; correlation between patches stays.

    Args:
        size: Pixels along each side of a patch; it must divide every axis after the first.
        form: ``zca`` or ``pca``.
        shared: Use one map for all labels.
        shrinkage: How a label's covariance is estimated, as in ``whiten``.
        floor: Smallest eigenvalue, relative to the label's largest, that a direction is scaled by.

    Example:
        >>> import torch
        >>> from precond_gm.preconditioners import Patch
        >>> x = torch.randn(500, 1, 8, 8).cumsum(2).cumsum(3)
        >>> report = Patch().fit(x)
        >>> report.condition_after < report.condition_before / 10
        True
    """

    def __init__(
        self,
        size: int = 4,
        form: Form = "zca",
        shared: bool = False,
        shrinkage: Shrinkage = "auto",
        floor: float = 1e-10,
    ) -> None:
        super().__init__(form, shared, shrinkage, floor)
        self.size = size
        check_counts(self, "size")


@final
class Channel(_Patches):
    """Whiten the channels of an image by one covariance for all pixels, for each label.

    The first axis of a row is its channels: colours, or those of a latent code. It removes their
    correlation and their units, and nothing in space. Cost: O(d c) both ways with c channels.

    Conditioning: that between channels becomes 1; correlation between pixels stays.

    Args:
        form: ``zca`` or ``pca``.
        shared: Use one map for all labels.
        shrinkage: How a label's covariance is estimated, as in ``whiten``.
        floor: Smallest eigenvalue, relative to the label's largest, that a direction is scaled by.

    Example:
        >>> import torch
        >>> from precond_gm.preconditioners import Channel
        >>> x = torch.randn(6000, 1, 2, 2) + 0.1 * torch.randn(6000, 3, 2, 2)
        >>> report = Channel().fit(x)
        >>> report.condition_after < report.condition_before / 10
        True
    """

    size = 1

    def __init__(
        self,
        form: Form = "zca",
        shared: bool = False,
        shrinkage: Shrinkage = "auto",
        floor: float = 1e-10,
    ) -> None:
        super().__init__(form, shared, shrinkage, floor)
