"""Two questions put to a classifier: can it tell generated from real, and are labels kept."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.numerics.statistics import Estimate, student_quantile

__all__ = ["c2st", "share"]


def c2st(a: Tensor, b: Tensor, *, seed: int = 0) -> Tensor:
    """Return, per row of both sets, whether a forest tells its set right (1 or 0), out of fold.

    A mean of 1/2 means that it cannot. Extremely randomised trees need no scaling or tuning.

    References:
        1610.06545 (Lopez-Paz and Oquab).
    """
    import numpy as np
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rows = torch.cat((a, b)).cpu().numpy()
    side = np.repeat([0, 1], [a.shape[0], b.shape[0]])
    forest = ExtraTreesClassifier(n_estimators=60, min_samples_leaf=3, random_state=seed)
    folds = StratifiedKFold(min(3, a.shape[0], b.shape[0]), shuffle=True, random_state=seed)
    return torch.from_numpy((cross_val_predict(forest, rows, side, cv=folds) == side).astype(float))


def share(right: Tensor, level: float = 0.95) -> Estimate:
    """Return the mean of ones and zeros with its interval."""
    count = right.numel()
    value = float(right.double().mean())
    # Agresti and Coull's shift keeps the interval from shrinking to nothing at 0 and 1.
    centre = (value * count + 2) / (count + 4)
    reach = student_quantile((1 + level) / 2, max(count - 1, 1))
    reach *= (centre * (1 - centre) / (count + 4)) ** 0.5
    return Estimate(value, min(value, centre - reach), max(value, centre + reach))
