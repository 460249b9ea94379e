r"""Variance of generated rows along the eigen-directions of the data, over that of the data.

Directions and variances come from different rows: along its own eigenvectors a sample shows its
large variances too large and its small ones too small, and every model would seem to inflate the
small directions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from precond_gm.numerics.statistics import normal_quantile
from precond_gm.numerics.two_sample import Evaluate, Statistic

__all__ = ["Recovery", "directions", "recovery", "recovery_statistic"]

_RESOLVED = 1e-12  # of the largest variance: what float64 rows of any offset still resolve
LOW_SHARE = 0.25  # "small" eigenvalues: the lowest quarter of the directions


@dataclass(frozen=True)
class Recovery:
    """Variance ratio per eigen-direction of the data covariance, ascending eigenvalues.

    Attributes:
        eigenvalue: Data variance along each direction, on rows that did not choose it.
        ratio: Generated over data variance; 1 is right, above 1 is inflated.
        low: Lower end of each ratio's 95 % interval.
        high: Upper end.
        floor: The same ratio for data rows in place of generated ones.
    """

    eigenvalue: Tensor
    ratio: Tensor
    low: Tensor
    high: Tensor
    floor: Tensor


def directions(rows: Tensor, limit: int = 1024) -> Tensor:
    """Return eigenvectors of the rows' covariance, ascending, shape ``k dim``.

    Directions without variance in these rows are left out. Beyond ``limit`` dimensions the ones
    that the rows span are used, through the singular vectors of the rows themselves.
    """
    centred = rows - rows.mean(0)
    if rows.shape[1] <= limit:
        values, vectors = torch.linalg.eigh(centred.T @ centred / rows.shape[0])
        basis = vectors.T
    else:
        _, singular, basis = torch.linalg.svd(centred, full_matrices=False)
        values, basis = singular.flip(0).square() / rows.shape[0], basis.flip(0)
    return basis[values > _RESOLVED * values[-1]]


def recovery(generated: Tensor, data_a: Tensor, data_b: Tensor, basis: Tensor) -> Recovery:
    """Return the ratio along each direction, with the delta method's interval on its logarithm.

    Args:
        generated: Generated rows.
        data_a: Data rows.
        data_b: Other data rows; both together are the denominator, and ``b`` over ``a`` the floor.
        basis: Directions from rows apart from all these, shape ``k dim``.
    """
    v_g, e_g = _variance(generated, basis)
    v_d, e_d = _variance(torch.cat((data_a, data_b)), basis)
    v_a, v_b = _variance(data_a, basis)[0], _variance(data_b, basis)[0]
    least = _RESOLVED * v_d.max()
    log_ratio = _log(v_g, least) - _log(v_d, least)
    reach = normal_quantile(0.975) * (e_g.square() + e_d.square()).sqrt()
    floor = (_log(v_b, least) - _log(v_a, least)).exp()
    return Recovery(
        v_d, log_ratio.exp(), (log_ratio - reach).exp(), (log_ratio + reach).exp(), floor
    )


def recovery_statistic(basis: Tensor) -> Statistic:
    """Return two figures over the lowest quarter of the directions.

    ``low_recovery`` is the geometric mean of the ratio, ``low_recovery_error`` the mean absolute
    logarithm to base 2: how many doublings or halvings the small variances are off.
    """

    def prepare(a: Tensor, b: Tensor) -> Evaluate:
        shadow_a, shadow_b = a @ basis.T, b @ basis.T
        low = max(1, round(LOW_SHARE * basis.shape[0]))

        def evaluate(i: Tensor, j: Tensor) -> dict[str, float]:
            top, bottom = shadow_a[i].var(0), shadow_b[j].var(0)
            least = _RESOLVED * bottom.max()
            ratio = (_log(top, least) - _log(bottom, least))[:low] / math.log(2)
            return {
                "low_recovery": float(2 ** ratio.mean()),
                "low_recovery_error": float(ratio.abs().mean()),
            }

        return evaluate

    return prepare


def _log(variance: Tensor, least: Tensor) -> Tensor:
    """Return the logarithm; a direction that has lost all variance stays finite."""
    return variance.clamp_min(least).log()


def _variance(rows: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return the variance along each direction and the standard error of its logarithm."""
    squared = ((rows - rows.mean(0)) @ basis.T).square()
    variance = squared.mean(0)
    tiny = torch.finfo(rows.dtype).tiny
    return variance, squared.std(0) / variance.clamp_min(tiny) / rows.shape[0] ** 0.5
