"""Whitening by covariances that scikit-learn estimates, for each label."""

from __future__ import annotations

import abc
from typing import final

import torch
from torch import Tensor

from precond_gm.numerics.blocks import BlockMoments
from precond_gm.options import check_counts
from precond_gm.preconditioners.gathering import Gathered
from precond_gm.preconditioners.whitening import AbstractWhitening, Estimate, Form

__all__ = ["PCA", "FactorAnalysis"]


class _Estimated(AbstractWhitening):
    """Whiten by the covariance of one estimator.

    Estimators of this kind see rows through their second moments only, so they are given ``2 d``
    rows with the same moments as the data: streams work, and the cost does not grow with them.
    """

    @abc.abstractmethod
    def estimate(self, rows: Tensor) -> Tensor:
        """Return the covariance that the estimator gives for rows."""

    def _candidates(self, data: Gathered[BlockMoments]) -> dict[str, Estimate]:
        def estimate(law: BlockMoments, common: BlockMoments) -> tuple[Tensor, Tensor]:
            covariance = self.estimate(_rows_like(law.covariance[0]))
            return law.mean, covariance.to(law.covariance)[None]

        return {f"{type(self).__name__} of scikit-learn": estimate}


@final
class PCA(_Estimated):
    """Whiten by probabilistic PCA: leading components, and one variance for all the rest.

    Cost: O(d^2) both ways, O(d^3) for the fit. Conditioning: 1 along the components kept; the rest
    shares one variance.

    Args:
        components: Components kept; all of them if not given, which is plain whitening.
        form: ``pca`` or ``zca``.
        shared: Use one map for all labels.
        floor: Smallest eigenvalue, relative to the label's largest, that a direction is scaled by.

    References:
        Tipping and Bishop (1999), Probabilistic principal component analysis.
    """

    def __init__(
        self,
        components: int | None = None,
        form: Form = "pca",
        shared: bool = False,
        floor: float = 1e-10,
    ) -> None:
        super().__init__(form, shared, "auto", floor)
        self.components = components
        check_counts(self, "components")

    def estimate(self, rows: Tensor) -> Tensor:
        """Return the covariance of probabilistic PCA."""
        from sklearn.decomposition import PCA as Estimator

        kept = min(self.components or rows.shape[1], rows.shape[1])
        count = rows.shape[0]  # scikit-learn divides by one less
        estimator = Estimator(kept, svd_solver="full").fit(rows * ((count - 1) / count) ** 0.5)
        return torch.from_numpy(estimator.get_covariance())


@final
class FactorAnalysis(_Estimated):
    """Whiten by a factor model: few common factors, and a variance of its own for each feature.

    Unlike PCA it does not depend on the units of the features.

    Cost: O(d^2) both ways, O(d^3) for the fit. Conditioning: 1 where the factor model holds;
    correlation that it misses stays.

    Args:
        factors: Number of factors; an eighth of the features, at least one, if not given.
        form: ``zca`` or ``pca``.
        shared: Use one map for all labels.
        floor: Smallest eigenvalue, relative to the label's largest, that a direction is scaled by.
    """

    def __init__(
        self,
        factors: int | None = None,
        form: Form = "zca",
        shared: bool = False,
        floor: float = 1e-10,
    ) -> None:
        super().__init__(form, shared, "auto", floor)
        self.factors = factors
        check_counts(self, "factors")

    def estimate(self, rows: Tensor) -> Tensor:
        """Return the covariance of the factor model."""
        from sklearn.decomposition import FactorAnalysis as Estimator

        kept = min(self.factors or max(1, rows.shape[1] // 8), rows.shape[1])
        deviation = rows.square().mean(0).sqrt()
        deviation = torch.where(deviation > 0, deviation, 1.0)
        estimator = Estimator(kept, svd_method="lapack").fit(rows / deviation)
        return torch.from_numpy(estimator.get_covariance()) * torch.outer(deviation, deviation)


def _rows_like(covariance: Tensor) -> Tensor:
    """Return ``2 d`` rows with mean 0 and this covariance."""
    values, vectors = torch.linalg.eigh(covariance.cpu())
    half = vectors.T * (values.clamp_min(0) * covariance.shape[0]).sqrt()[:, None]
    return torch.cat([half, -half])
