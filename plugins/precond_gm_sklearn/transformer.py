"""Any preconditioner as a scikit-learn transformer."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from precond_gm.preconditioners import REGISTRY

__all__ = ["PreconditionerTransformer"]


class PreconditionerTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fit and apply a preconditioner on arrays, in a scikit-learn pipeline.

    Targets ``y`` are ignored unless ``conditional`` is set: they are then integer labels, and
    ``transform`` and ``inverse_transform`` need the label of each row as well.

    Args:
        preconditioner: What ``preconditioners.REGISTRY.resolve`` takes: a name, ``(name, options)``
            or a list of these.
        conditional: Use ``y`` as labels.
        max_steps: Optimiser steps of maps that need them.
        random_state: Seed of the fit.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(4000, 2)) * [1, 100]
        >>> z = PreconditionerTransformer("whiten").fit_transform(x)
        >>> bool(np.allclose(np.cov(z.T), np.eye(2), atol=0.1))
        True
    """

    def __init__(
        self,
        preconditioner: Any = "whiten",
        conditional: bool = False,
        max_steps: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.preconditioner = preconditioner
        self.conditional = conditional
        self.max_steps = max_steps
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Fit the map to rows ``X``, with labels ``y`` if ``conditional``."""
        rows = validate_data(self, X, dtype=(np.float64, np.float32), ensure_min_samples=2)
        self.map_ = REGISTRY.resolve(self.preconditioner)
        self.report_ = self.map_.fit(
            torch.from_numpy(np.array(rows)),
            _labels(y) if self.conditional else None,
            max_steps=self.max_steps,
            generator=torch.Generator().manual_seed(self.random_state),
        )
        return self

    def transform(self, X: ArrayLike, label: ArrayLike | None = None) -> NDArray[Any]:
        """Map rows to preconditioned coordinates."""
        return self._run("forward", X, label)

    def inverse_transform(self, X: ArrayLike, label: ArrayLike | None = None) -> NDArray[Any]:
        """Map preconditioned coordinates back."""
        return self._run("inverse", X, label)

    def _run(self, direction: str, X: ArrayLike, label: ArrayLike | None) -> NDArray[Any]:
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        with torch.no_grad():
            image = getattr(self.map_, direction)(torch.from_numpy(np.array(rows)), _labels(label))
        return image.value.numpy()


def _labels(values: ArrayLike | None) -> torch.Tensor | None:
    """Return targets as labels: arrays of small integers, as image files give them, are cast."""
    if values is None:
        return None
    label = np.asarray(values)
    return torch.as_tensor(label.astype(np.int64) if label.dtype.kind in "iu" else label)
