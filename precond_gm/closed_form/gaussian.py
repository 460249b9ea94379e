r"""The bridge between jointly Gaussian ends: everything about it is a formula."""

from __future__ import annotations

import math
from typing import final

from precond_gm.closed_form.gaussian_base import AbstractGaussianBridge
from precond_gm.closed_form.inputs import (
    ArrayLike,
    as_covariance,
    as_sigma,
    as_vector,
    check_joint,
    common_device,
    common_dim,
)

__all__ = ["GaussianBridge"]


@final
class GaussianBridge(AbstractGaussianBridge):
    r"""Path between jointly Gaussian ends: drift, laws and errors to the last digit.

    .. math::
        b_t(x) = m_1 - m_0 + A_t \Sigma_t^{-1} (x - m_t), \qquad
        A_t = (1-t)(C^T - S_0) + t (S_1 - C - \sigma^2 I)

    which, unlike ``(E[z1 | x] - x) / (1 - t)``, is finite and accurate at t = 1. Where the three
    covariances share their eigenvectors (independent ends with a standard normal source always
    do) all matrix work is done per mode, so a thousand dimensions are cheap.

    Args:
        mean0: Mean of the source: a vector, or a number for all coordinates.
        cov0: Covariance of the source: a matrix, its diagonal, or a number times the identity.
        mean1: Mean of the data.
        cov1: Covariance of the data.
        cross: ``Cov(z0, z1)``; None for independent ends.
        sigma: Scale of the bridge's noise; 0 is the linear path.

    Raises:
        InvalidInputError: A covariance that is not positive definite, or a cross-covariance that
            no joint law has.

    References:
        Gentiloni-Silveri et al., arXiv 2409.08311, section 2 (the bridge).

    Example:
        >>> import torch
        >>> from precond_gm.closed_form import GaussianBridge
        >>> bridge = GaussianBridge(0.0, 1.0, 0.0, 1.0)
        >>> float(bridge.drift(0.3, torch.full((1, 1), 2.0).double()))
        -2.0
        >>> times = torch.linspace(0, 1, 9, dtype=torch.float64)
        >>> f"{float(bridge.marginal_kl(times)):.3e}"
        '8.007e-04'
    """

    def __init__(
        self,
        mean0: ArrayLike,
        cov0: ArrayLike,
        mean1: ArrayLike,
        cov1: ArrayLike,
        cross: ArrayLike | None = None,
        sigma: float = math.sqrt(2),
    ) -> None:
        given = (mean0, cov0, mean1, cov1, cross)
        dim, device = common_dim(*given), common_device(*given)
        ends = as_covariance(cov0, dim, device, "cov0"), as_covariance(cov1, dim, device, "cov1")
        joint = as_covariance(
            0.0 if cross is None else cross, dim, device, "cross", symmetric=False
        )
        check_joint(*ends, joint)
        super().__init__(
            as_vector(mean0, dim, device, "mean0"),
            ends[0],
            as_vector(mean1, dim, device, "mean1"),
            ends[1],
            joint,
            as_sigma(sigma),
        )
