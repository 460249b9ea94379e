"""Fidelity, diversity and copying, from nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from precond_gm.numerics.two_sample import Evaluate, Statistic

__all__ = ["copying", "neighbourhood"]


def neighbourhood(k: int = 5) -> Statistic:
    """Return precision, recall, density and coverage from balls that reach the k-th neighbour.

    ``precision``: share of generated rows inside some data row's ball. ``recall``: share of data
    rows inside some generated row's ball. ``density``: number of data balls around a generated
    row, over k. ``coverage``: share of data rows whose own ball holds a generated row. All but the
    recall look at balls of data only, so one far outlier among the samples cannot raise them.

    References:
        1904.06991 (precision and recall), 2002.09797 (density and coverage).
    """

    def prepare(a: Tensor, b: Tensor) -> Evaluate:
        between, within_a, within_b = torch.cdist(a, b), torch.cdist(a, a), torch.cdist(b, b)

        def evaluate(i: Tensor, j: Tensor) -> dict[str, float]:
            cross = between[i][:, j]
            in_data_ball = (cross <= _radius(within_b, j, k)).double()
            in_own_ball = (cross <= _radius(within_a, i, k)[:, None]).double()
            return {
                "precision": float(in_data_ball.amax(1).mean()),
                "recall": float(in_own_ball.amax(0).mean()),
                "density": float(in_data_ball.sum(1).mean() / k),
                "coverage": float(in_data_ball.amax(0).mean()),
            }

        return evaluate

    return prepare


def copying(train: Tensor) -> Statistic:
    """Return how often a generated row is nearer to the training rows than a held-out row is.

    1/2 for rows that keep the distance new data keep, towards 1 for copies of training rows.

    References:
        2004.05675 (Meehan, Chaudhuri and Dasgupta), the global form of the data-copying test.
    """

    def prepare(a: Tensor, b: Tensor) -> Evaluate:
        near_a = torch.cdist(a, train).amin(1)
        near_b = torch.cdist(b, train).amin(1)

        def evaluate(i: Tensor, j: Tensor) -> dict[str, float]:
            gap = near_b[j] - near_a[i][:, None]
            return {"copying": float((gap.sign() / 2 + 0.5).mean())}

        return evaluate

    return prepare


def _radius(within: Tensor, index: Tensor, k: int) -> Tensor:
    """Return each row's distance to its k-th neighbour among the rows of ``index``."""
    part = within[index][:, index]
    return part.kthvalue(min(k + 1, part.shape[0]), dim=1).values  # the row itself comes first
