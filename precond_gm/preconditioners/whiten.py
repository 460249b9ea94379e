"""Whitening per label: the closed-form answer to an ill-conditioned covariance."""

from __future__ import annotations

from typing import final

from precond_gm.preconditioners.whitening import AbstractWhitening, Form, Shrinkage

__all__ = ["Whiten"]


@final
class Whiten(AbstractWhitening):
    r"""Give every label mean 0 and covariance I.

    .. math::
        z = B \Lambda^{-1/2} V^T (x - \mu), \qquad \Sigma = V \Lambda V^T

    with ``B = V`` (ZCA: the whitening nearest to the identity) or ``B = I`` (PCA: coordinates in
    the order of falling variance). After it Sigma_t = I for every t, on the linear path and on
    the bridge, under the independent coupling. Cost: O(d^2) both ways, O(d^3) for the fit.

    Conditioning: 1 within each label, up to the noise of its rows.

    Args:
        form: ``zca`` or ``pca``.
        shared: Use one map for all labels.
        shrinkage: How a label's covariance is estimated: ``none``, ``ledoit-wolf`` (on
            standardised features), ``pooled`` (towards the covariance within labels), or ``auto``,
            the one with the best held-out Gaussian likelihood.
        floor: Smallest eigenvalue, relative to the label's largest, that a direction is scaled
            by. Directions below it, such as those of a singular covariance, stay narrower than 1,
            and the report says how many there are.

    Example:
        >>> import torch
        >>> from precond_gm.preconditioners import Whiten
        >>> x = torch.randn(2000, 2) @ torch.tensor([[10.0, 9.0], [0.0, 0.1]])
        >>> report = Whiten().fit(x)
        >>> report.condition_before > 1e3, report.condition_after < 2
        (True, True)
    """

    def __init__(
        self,
        form: Form = "zca",
        shared: bool = False,
        shrinkage: Shrinkage = "auto",
        floor: float = 1e-10,
    ) -> None:
        super().__init__(form, shared, shrinkage, floor)
