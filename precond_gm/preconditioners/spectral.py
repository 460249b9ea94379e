"""Whitening in the cosine domain: for images, where d x d matrices do not fit."""

from __future__ import annotations

from typing import final

from torch import Tensor

from precond_gm.numerics.cosine import cosine_transform, inverse_cosine_transform
from precond_gm.preconditioners.whitening import AbstractWhitening, Shrinkage

__all__ = ["Spectral"]


@final
class Spectral(AbstractWhitening):
    r"""Whiten each frequency of a cosine transform, across channels, for each label.

    The covariance of natural images is nearly diagonal in frequencies: what is left in the basis
    of the cosine transform is the power of each frequency, over several decades, and the
    correlation of the channels. Both are removed,

    .. math::
        z = C^{-1} \, \mathrm{blockdiag}_f(\Sigma_f^{-1/2}) \, C (x - \mu)

    with C the orthonormal DCT over all axes after the first and Sigma_f the channels' covariance at
    frequency f. Rows of one axis are one channel. Correlation between frequencies stays, so this is
    a whitening of stationary laws only. Cost: O(d log d) both ways and for the fit; memory O(d c)
    with c channels.

    Conditioning: 1 where rows are stationary, as images nearly are; correlation between frequencies
    stays.

    Args:
        shared: Use one map for all labels.
        shrinkage: How a label's covariances are estimated, as in ``whiten``.
        floor: Smallest eigenvalue, relative to the label's largest, that a direction is scaled by.

    Example:
        >>> import torch
        >>> from precond_gm.preconditioners import Spectral
        >>> power = torch.logspace(0, -2, 8)
        >>> x = inverse_cosine_transform(torch.randn(5000, 8) * power, 1)
        >>> report = Spectral().fit(x)
        >>> report.condition_before > 1e3, report.condition_after < 3
        (True, True)
    """

    def __init__(
        self, shared: bool = False, shrinkage: Shrinkage = "auto", floor: float = 1e-10
    ) -> None:
        super().__init__("zca", shared, shrinkage, floor)

    def arrange(self, x: Tensor) -> Tensor:
        """Transform all axes after the channels; blocks are frequencies, k the channels."""
        x = x if x.ndim > 2 else x[:, None]
        for dim in range(2, x.ndim):
            x = cosine_transform(x, dim)
        return x.flatten(2).transpose(1, 2)

    def restore(self, blocks: Tensor) -> Tensor:
        """Undo ``arrange``."""
        assert self.event_shape is not None
        shape = self.event_shape if len(self.event_shape) > 1 else (1, *self.event_shape)
        x = blocks.transpose(1, 2).reshape(blocks.shape[0], *shape)
        for dim in range(2, x.ndim):
            x = inverse_cosine_transform(x, dim)
        return x.reshape(blocks.shape[0], *self.event_shape)
