"""scikit-learn's estimators as preconditioners, and preconditioners as its transformers."""

from __future__ import annotations

from precond_gm_sklearn.covariances import PCA, FactorAnalysis
from precond_gm_sklearn.marginals import Power, Quantile
from precond_gm_sklearn.transformer import PreconditionerTransformer

__all__ = ["PCA", "FactorAnalysis", "Power", "PreconditionerTransformer", "Quantile"]
